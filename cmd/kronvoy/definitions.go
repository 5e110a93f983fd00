package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	kjson "sigs.k8s.io/json"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/manifest"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/schemas"
)

// sourceOptions say which files to read, and where the schemas of kinds come
// from. render, lint and graph share them.
type sourceOptions struct {
	files, crds []string
	kubeconfig  string
}

func (o *sourceOptions) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVarP(&o.files, "filename", "f", nil, "file or directory to read; - is stdin; may be given several times")
	flags.StringArrayVar(&o.crds, "crds", nil, "file or directory of CustomResourceDefinitions of the kinds in the graph")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "take the schemas of kinds from this cluster; without it Kubernetes' own are built in ("+builtin.KubernetesVersion+")")
	if err := cmd.MarkFlagRequired("filename"); err != nil {
		panic(err) // the flag is defined three lines above
	}
}

// definition is a ResourceGraphDefinition with what became of it.
type definition struct {
	document *manifest.Document
	name     string
	graph    *graph.Graph
	issues   graph.Issues
}

// bundle is everything that was read.
type bundle struct {
	definitions []*definition
	// others are the documents that are no definitions.
	others []*manifest.Document
}

// load reads the files and compiles the definitions in them.
func (o *sourceOptions) load(stdin io.Reader) (*bundle, error) {
	documents, err := manifest.Read(stdin, o.files)
	if err != nil {
		return nil, err
	}
	extra, err := manifest.Read(stdin, o.crds)
	if err != nil {
		return nil, err
	}
	resolver, err := o.resolver(append(extra, documents...))
	if err != nil {
		return nil, err
	}
	out := &bundle{}
	for _, d := range documents {
		if d.Kind() != "ResourceGraphDefinition" || !strings.HasPrefix(d.APIVersion(), krov1alpha1.GroupVersion.Group+"/") {
			out.others = append(out.others, d)
			continue
		}
		out.definitions = append(out.definitions, &definition{document: d, name: d.Name()})
	}
	if err := out.compile(resolver); err != nil {
		return nil, err
	}
	if len(out.definitions) == 0 {
		return nil, errors.New("the files hold no ResourceGraphDefinition")
	}
	return out, nil
}

// compile compiles the definitions. One may use the kind that another generates:
// what does not compile is tried again with the kinds of those that do.
func (b *bundle) compile(resolver schema.Resolver) error {
	for {
		var generated []*apiextensionsv1.CustomResourceDefinition
		for _, d := range b.definitions {
			if d.graph == nil {
				d.compile(resolver)
				if d.graph != nil {
					generated = append(generated, d.graph.CRD())
				}
			}
		}
		if len(generated) == 0 {
			return nil
		}
		kinds, err := schema.FromCRDs(generated...)
		if err != nil {
			return err
		}
		resolver = schema.Chain(kinds, resolver)
	}
}

// resolver chains the kinds of the given CustomResourceDefinitions before those
// of the cluster, or the built-in ones.
func (o *sourceOptions) resolver(documents []*manifest.Document) (schema.Resolver, error) {
	var crds []*apiextensionsv1.CustomResourceDefinition
	for _, d := range documents {
		if d.Kind() != "CustomResourceDefinition" {
			continue
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := json.Unmarshal(d.JSON, &crd); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", d.File, d.Line, err)
		}
		crds = append(crds, &crd)
	}
	local, err := schema.FromCRDs(crds...)
	if err != nil {
		return nil, err
	}
	if o.kubeconfig == "" {
		return schema.Chain(local, builtin.Resolver()), nil
	}
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	cached := memory.NewMemCacheClient(client)
	return schema.Chain(local, schemas.NewHub(cached, restmapper.NewDeferredDiscoveryRESTMapper(cached), clock.RealClock{}).WithoutDefinitions()), nil
}

// compile decodes a definition as the API server does, and compiles it.
func (d *definition) compile(resolver schema.Resolver) {
	d.issues = nil
	var rgd krov1alpha1.ResourceGraphDefinition
	strict, err := kjson.UnmarshalStrict(d.document.JSON, &rgd)
	if err != nil {
		d.issues = graph.Issues{decodeIssue(err)}
		return
	}
	for _, e := range strict {
		d.issues = append(d.issues, decodeIssue(e))
	}
	src, err := convert.Source(&rgd)
	if err != nil {
		d.issues = append(d.issues, decodeIssue(err))
		return
	}
	compiled, issues := graph.Compile(src, resolver)
	if d.issues = append(d.issues, issues...); len(d.issues) == 0 {
		d.graph = compiled
	}
}

// fieldInError finds the field that a decoder's error is about.
var fieldInError = regexp.MustCompile(`"((?:spec|status|metadata)[^"]*)"|(?:field \w+\.|^)((?:spec|status|metadata)[\w.\[\]]*)`)

func decodeIssue(err error) graph.Issue {
	issue := graph.Issue{Offset: -1, Reason: "InvalidObject", Message: err.Error()}
	if match := fieldInError.FindStringSubmatch(err.Error()); match != nil {
		issue.Path = match[1] + match[2]
	}
	if strings.HasPrefix(issue.Message, "unknown field") {
		issue.Reason = "UnknownField"
	}
	return issue
}

// failure sums up the issues of all definitions; nil when there are none.
func (b *bundle) failure() error {
	issues, broken := 0, 0
	for _, d := range b.definitions {
		issues += len(d.issues)
		if len(d.issues) > 0 {
			broken++
		}
	}
	switch issues {
	case 0:
		return nil
	case 1:
		return errors.New("1 issue found")
	}
	return fmt.Errorf("%d issues found in %d of %d definitions", issues, broken, len(b.definitions))
}
