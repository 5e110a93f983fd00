package policy

import (
	"cmp"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// AgentIdentity says where agents may act with their own rights; empty means
// AgentIdentityAuto. They may always for namespaces that are marked, see
// kronvoyv1alpha1.AnnotationAgentIdentity.
type AgentIdentity string

// Where agents may act with their own rights.
const (
	// AgentIdentityAuto: on the hub's own cluster while that is the only one, as
	// kro's controller does. What an agent applied there so goes on when a second
	// cluster is accepted.
	AgentIdentityAuto AgentIdentity = "auto"
	// AgentIdentityTrue: everywhere.
	AgentIdentityTrue AgentIdentity = "true"
	// AgentIdentityFalse: nowhere.
	AgentIdentityFalse AgentIdentity = "false"
)

// ParseAgentIdentity refuses any other word.
func ParseAgentIdentity(text string) (AgentIdentity, error) {
	switch a := AgentIdentity(text); a {
	case AgentIdentityAuto, AgentIdentityTrue, AgentIdentityFalse:
		return a, nil
	case "":
		return AgentIdentityAuto, nil
	}
	return "", fmt.Errorf("agent identity %q: it is one of %s, %s, %s", text, AgentIdentityAuto, AgentIdentityTrue, AgentIdentityFalse)
}

// ServiceAccount is in whose name an agent acts. Without a namespace it is in
// the instance's.
type ServiceAccount struct{ Namespace, Name string }

// ParseServiceAccount reads [namespace/]name; an empty text is nobody.
func ParseServiceAccount(text string) (ServiceAccount, error) {
	if text == "" {
		return ServiceAccount{}, nil
	}
	account := ServiceAccount{Name: text}
	if namespace, name, found := strings.Cut(text, "/"); found {
		account = ServiceAccount{Namespace: namespace, Name: name}
		if problems := validation.IsDNS1123Label(namespace); len(problems) > 0 {
			return ServiceAccount{}, fmt.Errorf("service account %q is not written as [namespace/]name: its namespace: %s", text, problems[0])
		}
	}
	if problems := validation.IsDNS1123Subdomain(account.Name); len(problems) > 0 {
		return ServiceAccount{}, fmt.Errorf("service account %q is not written as [namespace/]name: %s", text, problems[0])
	}
	return account, nil
}

// Identity is all that decides in whose name an instance is applied. An instance
// that the hub made for another's resource is applied as that one is: else
// whoever may write the outer one would act in the name of another namespace.
type Identity struct {
	// Namespace of the instance, on the hub and on clusters; empty for a
	// cluster-scoped one.
	Namespace string
	// Distribution is the name of the instance's, and ServiceAccountName what it
	// says.
	Distribution, ServiceAccountName string
	// Marked is the namespace on the hub whose annotations count: the instance's,
	// or the hub's own for a cluster-scoped instance. Annotations are those.
	Marked      string
	Annotations map[string]string
	// Cluster is the one whose namespace that is; empty for none. Nobody's
	// instances are there: its agents read and write in it.
	Cluster string
	// Default is the hub's --default-service-account.
	Default ServiceAccount
	// AllowAgent permits to act with the agent's own rights where nothing says
	// otherwise.
	AllowAgent bool
}

// Decide gives the executor of the instance's works, nil for the agent itself.
// The error says what to do, and until then nothing may be shipped.
func (i Identity) Decide() (*workv1.ManifestWorkExecutor, error) {
	if i.Cluster != "" {
		return nil, fmt.Errorf("namespace %s is that of cluster %s, and its agents read and write in it: move the instance to another one", i.Marked, i.Cluster)
	}
	if i.ServiceAccountName != "" {
		// Of the instance's namespace alone: whoever may write Distributions there
		// must not choose accounts elsewhere.
		return i.executor(ServiceAccount{Name: i.ServiceAccountName}, "Distribution "+i.Distribution)
	}
	annotation := "annotation " + kronvoyv1alpha1.AnnotationServiceAccount + " of namespace " + i.Marked
	account, err := ParseServiceAccount(i.Annotations[kronvoyv1alpha1.AnnotationServiceAccount])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", annotation, err)
	}
	switch {
	case account.Name != "":
		return i.executor(account, annotation)
	case i.Annotations[kronvoyv1alpha1.AnnotationAgentIdentity] == kronvoyv1alpha1.AgentIdentityAllowed:
		return nil, nil
	case i.Default.Name != "":
		return i.executor(i.Default, "the hub's --default-service-account")
	case i.AllowAgent:
		return nil, nil
	}
	return nil, i.nobody()
}

func (i Identity) executor(account ServiceAccount, said string) (*workv1.ManifestWorkExecutor, error) {
	namespace := cmp.Or(account.Namespace, i.Namespace)
	if namespace == "" {
		return nil, fmt.Errorf("%s names service account %s without a namespace, and a cluster-scoped instance has none: write it as namespace/name", said, account.Name)
	}
	return &workv1.ManifestWorkExecutor{Subject: workv1.ManifestWorkExecutorSubject{
		Type:           workv1.ExecutorSubjectTypeServiceAccount,
		ServiceAccount: &workv1.ManifestWorkSubjectServiceAccount{Namespace: namespace, Name: account.Name},
	}}, nil
}

// nobody says what to do where nothing says in whose name to act.
func (i Identity) nobody() error {
	other, account, where := "set serviceAccountName in a Distribution that selects it, or ", "<name>", ""
	if i.Namespace == "" {
		other, account, where = "", "<namespace>/<name>", ", which counts for cluster-scoped instances"
	}
	return fmt.Errorf("nothing says which service account the agent acts as: %srun `kubectl annotate namespace %s %s=%s` on the hub%s; "+
		"%s=%s in its place lets the agent use its own rights",
		other, i.Marked, kronvoyv1alpha1.AnnotationServiceAccount, account, where,
		kronvoyv1alpha1.AnnotationAgentIdentity, kronvoyv1alpha1.AgentIdentityAllowed)
}
