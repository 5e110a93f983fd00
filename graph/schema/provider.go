package schema

import (
	"sync"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// Provider resolves the struct types of some root declarations for CEL, and
// everything else through the provider it extends.
type Provider struct {
	types.Provider

	mu      sync.RWMutex
	structs map[string]*Decl
}

// NewProvider returns a provider that knows the roots; types below them become
// known as their fields are asked for.
func NewProvider(base types.Provider, roots ...*Decl) *Provider {
	p := &Provider{Provider: base, structs: map[string]*Decl{}}
	for _, root := range roots {
		p.learn(root)
	}
	return p
}

func (p *Provider) learn(d *Decl) {
	for d != nil {
		if d.Form == Struct {
			p.structs[d.name] = d
			return
		}
		d = d.Elem
	}
}

// Learn makes the struct types at the top of a declaration known by name.
func (p *Provider) Learn(d *Decl) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.learn(d)
}

// Struct finds the declaration of a struct type by its CEL name.
func (p *Provider) Struct(name string) (*Decl, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	d, found := p.structs[name]
	return d, found
}

// FindStructType implements types.Provider.
func (p *Provider) FindStructType(name string) (*types.Type, bool) {
	if d, found := p.Struct(name); found {
		return types.NewTypeTypeWithParam(d.celType), true
	}
	return p.Provider.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (p *Provider) FindStructFieldNames(name string) ([]string, bool) {
	if d, found := p.Struct(name); found {
		return d.FieldNames(), true
	}
	return p.Provider.FindStructFieldNames(name)
}

// FindStructFieldType implements types.Provider.
func (p *Provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	d, found := p.Struct(name)
	if !found {
		return p.Provider.FindStructFieldType(name, field)
	}
	f, found := d.celField(field)
	if !found {
		return nil, false
	}
	p.Learn(f.Decl)
	return f.cel, true
}

// NewValue implements types.Provider; the kinds of a graph cannot be built with
// message literals.
func (p *Provider) NewValue(name string, fields map[string]ref.Val) ref.Val {
	if _, found := p.Struct(name); found {
		return types.NewErr("a value of type %q is written as a map", name)
	}
	return p.Provider.NewValue(name, fields)
}
