package expr

import (
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// setAtIndex returns the list with another element at an index.
func setAtIndex(args ...ref.Val) ref.Val {
	return withElements("lists.setAtIndex", args, 0, func(elements []ref.Val, i int) []ref.Val {
		elements[i] = args[2]
		return elements
	})
}

// insertAtIndex returns the list with an element more, before the one at an
// index; the list's size as index appends.
func insertAtIndex(args ...ref.Val) ref.Val {
	return withElements("lists.insertAtIndex", args, 1, func(elements []ref.Val, i int) []ref.Val {
		elements = append(elements, nil)
		copy(elements[i+1:], elements[i:])
		elements[i] = args[2]
		return elements
	})
}

// removeAtIndex returns the list without the element at an index.
func removeAtIndex(args ...ref.Val) ref.Val {
	return withElements("lists.removeAtIndex", args, 0, func(elements []ref.Val, i int) []ref.Val {
		return append(elements[:i], elements[i+1:]...)
	})
}

// withElements copies the list args[0], checks the index args[1], which may be
// beyond the last element by some, and changes the copy.
func withElements(name string, args []ref.Val, beyond int, change func([]ref.Val, int) []ref.Val) ref.Val {
	list, ok1 := args[0].(traits.Lister)
	index, ok2 := args[1].(types.Int)
	if !ok1 || !ok2 {
		return types.MaybeNoSuchOverloadErr(args[0])
	}
	size, _ := list.Size().(types.Int)
	if index < 0 || int64(index) >= int64(size)+int64(beyond) {
		return invalid(name, "the index %d is not in a list of %d", index, size)
	}
	elements := make([]ref.Val, 0, int(size)+beyond)
	for it := list.Iterator(); it.HasNext() == types.True; {
		elements = append(elements, it.Next())
	}
	return types.NewRefValList(types.DefaultTypeAdapter, change(elements, int(index)))
}

// merge returns the entries of both maps; the second one's win.
func merge(args ...ref.Val) ref.Val {
	into, from, err := maps(args)
	if err != nil {
		return err
	}
	out := entries(into, from)
	for it := from.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		out[key] = from.Get(key)
	}
	return types.NewRefValMap(types.DefaultTypeAdapter, out)
}

// deepMerge is merge, but where both have a map under a key these are merged as
// well. Lists are replaced as a whole.
func deepMerge(args ...ref.Val) ref.Val {
	into, from, err := maps(args)
	if err != nil {
		return err
	}
	return mergeMaps(into, from, 0)
}

func mergeMaps(into, from traits.Mapper, depth int) ref.Val {
	if depth > maxMergeDepth {
		return invalid("deepMerge", "nested deeper than %d levels", maxMergeDepth)
	}
	out := entries(into, from)
	for it := from.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		value := from.Get(key)
		below, isMap := out[key].(traits.Mapper)
		above, alsoMap := value.(traits.Mapper)
		if isMap && alsoMap {
			value = mergeMaps(below, above, depth+1)
			if types.IsError(value) {
				return value
			}
		}
		out[key] = value
	}
	return types.NewRefValMap(types.DefaultTypeAdapter, out)
}

// maps are the two maps of a merge.
func maps(args []ref.Val) (into, from traits.Mapper, err ref.Val) {
	into, ok := args[0].(traits.Mapper)
	if !ok {
		return nil, nil, types.MaybeNoSuchOverloadErr(args[0])
	}
	if from, ok = args[1].(traits.Mapper); !ok {
		return nil, nil, types.MaybeNoSuchOverloadErr(args[1])
	}
	return into, from, nil
}

// entries copies a map, with room for those of another.
func entries(m, other traits.Mapper) map[ref.Val]ref.Val {
	size, _ := m.Size().(types.Int)
	more, _ := other.Size().(types.Int)
	out := make(map[ref.Val]ref.Val, int(size+more))
	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		out[key] = m.Get(key)
	}
	return out
}
