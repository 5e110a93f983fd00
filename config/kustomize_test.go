// Package config_test checks what is installed: every kustomization builds,
// every object in it is valid, and the processes get no more than they need.
package config_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	clusterv1beta2 "open-cluster-management.io/api/cluster/v1beta2"

	"github.com/kronvoy/kronvoy/hub/admission"
)

// installs are the kustomizations, and what has to be in them.
var installs = map[string]struct {
	crds      []string
	namespace string
	command   string // the package of the process, if one runs
}{
	"hub": {
		crds:      []string{"resourcegraphdefinitions.kro.run", "distributions.kronvoy.io", "targets.kronvoy.io", "workreports.kronvoy.io"},
		namespace: "kronvoy-system", command: "../cmd/kronvoy-hub",
	},
	"hub-with-dashboard": {
		crds:      []string{"resourcegraphdefinitions.kro.run"},
		namespace: "kronvoy-system", command: "../cmd/kronvoy-hub",
	},
	"hub-with-monitoring": {
		crds:      []string{"resourcegraphdefinitions.kro.run"},
		namespace: "kronvoy-system", command: "../cmd/kronvoy-hub",
	},
	"local": {
		crds:      []string{"resourcegraphdefinitions.kro.run", "appliedmanifestworks.work.open-cluster-management.io"},
		namespace: "kronvoy-system", command: "../cmd/kronvoy-hub",
	},
	"spoke": {
		crds:      []string{"appliedmanifestworks.work.open-cluster-management.io"},
		namespace: "kronvoy-agent", command: "../cmd/kronvoy-spoke",
	},
	"ocm/hub": {
		crds: []string{
			"managedclusters.cluster.open-cluster-management.io",
			"managedclustersets.cluster.open-cluster-management.io",
			"managedclustersetbindings.cluster.open-cluster-management.io",
			"placements.cluster.open-cluster-management.io",
			"placementdecisions.cluster.open-cluster-management.io",
			"manifestworks.work.open-cluster-management.io",
		},
	},
}

func TestEveryObjectOfAKustomizationIsValid(t *testing.T) {
	for name, want := range installs {
		t.Run(name, func(t *testing.T) {
			objects := build(t, name)
			crds := names[*apiextensionsv1.CustomResourceDefinition](objects)
			for _, crd := range want.crds {
				if !slices.Contains(crds, crd) {
					t.Errorf("CustomResourceDefinition %s is missing in %q", crd, crds)
				}
			}
			if want.namespace != "" && !slices.Contains(names[*corev1.Namespace](objects), want.namespace) {
				t.Errorf("namespace %s is missing", want.namespace)
			}
		})
	}
}

func TestEveryGeneratedCRDIsInstalled(t *testing.T) {
	for directory, install := range map[string]string{"crd": "hub", "ocm/hub": "ocm/hub", "ocm/spoke": "spoke"} {
		files, err := filepath.Glob(filepath.Join(directory, "*_*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if got := len(all[*apiextensionsv1.CustomResourceDefinition](build(t, install))); got != len(files) {
			t.Errorf("config/%s installs %d CustomResourceDefinitions, config/%s holds %d: list them in its kustomization.yaml", install, got, directory, len(files))
		}
	}
}

func TestAProcessRunsAsPodSecurityRestrictedDemands(t *testing.T) {
	for name, install := range installs {
		if install.command == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			objects := build(t, name)
			for _, namespace := range all[*corev1.Namespace](objects) {
				if got := namespace.Labels["pod-security.kubernetes.io/enforce"]; got != "restricted" {
					t.Errorf("namespace %s enforces %q, want restricted", namespace.Name, got)
				}
			}
			deployments := all[*appsv1.Deployment](objects)
			if len(deployments) != 1 {
				t.Fatalf("%d Deployments, want 1", len(deployments))
			}
			deployment := deployments[0]
			if deployment.Namespace != install.namespace {
				t.Errorf("the Deployment is in namespace %q, want %q", deployment.Namespace, install.namespace)
			}
			pod := deployment.Spec.Template.Spec
			if !slices.Contains(names[*corev1.ServiceAccount](objects), pod.ServiceAccountName) {
				t.Errorf("service account %q is missing", pod.ServiceAccountName)
			}
			checkPod(t, pod)
			checkFlags(t, install.command, pod.Containers[0].Args)
		})
	}
}

func checkPod(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	context := pod.SecurityContext
	container := pod.Containers[0]
	for what, holds := range map[string]bool{
		"runs as somebody else than root":    context.RunAsNonRoot != nil && *context.RunAsNonRoot && *context.RunAsUser > 0,
		"has seccomp's RuntimeDefault":       context.SeccompProfile != nil && context.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
		"cannot gain privileges":             !*container.SecurityContext.AllowPrivilegeEscalation,
		"has a read-only root file system":   *container.SecurityContext.ReadOnlyRootFilesystem,
		"has no capabilities":                slices.Equal(container.SecurityContext.Capabilities.Drop, []corev1.Capability{"ALL"}),
		"is asked whether it lives":          container.LivenessProbe != nil,
		"is asked whether it is ready":       container.ReadinessProbe != nil,
		"asks for memory and processor time": len(container.Resources.Requests) == 2,
		"has a memory limit":                 !container.Resources.Limits.Memory().IsZero(),
		"has no processor limit":             container.Resources.Limits.Cpu().IsZero(),
		"tells Go of the memory limit": slices.ContainsFunc(container.Env, func(e corev1.EnvVar) bool {
			return e.Name == "GOMEMLIMIT" && e.ValueFrom.ResourceFieldRef.Resource == "limits.memory"
		}),
		"says where its image is": strings.Contains(container.Image, "/"),
	} {
		if !holds {
			t.Errorf("it does not hold that the pod %s", what)
		}
	}
}

var flagName = regexp.MustCompile(`(?m)^\s+--?([a-z][a-z-]*)`)

// checkFlags compares the flags that are given with those that the command has.
func checkFlags(t *testing.T, command string, args []string) {
	t.Helper()
	help, err := exec.CommandContext(t.Context(), "go", "run", command, "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("asking %s for help: %v\n%s", command, err, help)
	}
	var known []string
	for _, match := range flagName.FindAllSubmatch(help, -1) {
		known = append(known, string(match[1]))
	}
	for _, arg := range args {
		name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !slices.Contains(known, name) {
			t.Errorf("%s has no flag %q, it has %q", command, arg, known)
		}
	}
}

func TestEveryBindingHasItsRoleAndItsSubject(t *testing.T) {
	for name := range installs {
		t.Run(name, func(t *testing.T) {
			objects := build(t, name)
			accounts := names[*corev1.ServiceAccount](objects)
			check := func(binding string, role rbacv1.RoleRef, roles []string, subjects []rbacv1.Subject) {
				if !slices.Contains(roles, role.Name) {
					t.Errorf("%s binds %s %q, which is missing", binding, role.Kind, role.Name)
				}
				for _, subject := range subjects {
					if subject.Kind == rbacv1.ServiceAccountKind && !slices.Contains(accounts, subject.Name) {
						t.Errorf("%s is for service account %q, which is missing", binding, subject.Name)
					}
				}
			}
			for _, b := range all[*rbacv1.ClusterRoleBinding](objects) {
				check(b.Name, b.RoleRef, names[*rbacv1.ClusterRole](objects), b.Subjects)
			}
			for _, b := range all[*rbacv1.RoleBinding](objects) {
				check(b.Namespace+"/"+b.Name, b.RoleRef, names[*rbacv1.Role](objects), b.Subjects)
			}
		})
	}
}

// Works hold whole manifests, and with them the values of Secrets.
func TestWhoSeesOrDecidesAboutDriftSeesNoManifests(t *testing.T) {
	found := 0
	for _, role := range all[*rbacv1.ClusterRole](build(t, "hub")) {
		if !strings.HasPrefix(role.Name, "kronvoy-drift-") {
			continue
		}
		found++
		for _, rule := range role.Rules {
			for _, resource := range rule.Resources {
				if !slices.Contains([]string{"targets", "workreports", "managedclusters"}, resource) {
					t.Errorf("%s gives %v on %s", role.Name, rule.Verbs, resource)
				}
				if resource != "targets" && slices.ContainsFunc(rule.Verbs, func(verb string) bool { return !slices.Contains([]string{"get", "list", "watch"}, verb) }) {
					t.Errorf("%s gives %v on %s, want reading alone", role.Name, rule.Verbs, resource)
				}
			}
		}
	}
	if found != 3 {
		t.Errorf("%d roles, want reader, operator and its part", found)
	}
}

// A policy without a binding holds nobody up, one that ignores failures holds up
// whoever does not break it, and one without a message leaves people guessing.
func TestEveryPolicyIsBoundAndSaysWhatItRefuses(t *testing.T) {
	objects := build(t, "hub")
	policies := all[*admissionregistrationv1.ValidatingAdmissionPolicy](objects)
	files, err := filepath.Glob("policies/*.yaml")
	if err != nil || len(policies) == 0 || len(files) == 0 {
		t.Fatalf("%d policies in %q: %v", len(policies), files, err)
	}
	bindings := map[string]*admissionregistrationv1.ValidatingAdmissionPolicyBinding{}
	for _, b := range all[*admissionregistrationv1.ValidatingAdmissionPolicyBinding](objects) {
		bindings[b.Spec.PolicyName] = b
	}
	for _, p := range policies {
		if binding := bindings[p.Name]; binding == nil || binding.Name != p.Name || binding.Spec.MatchResources != nil ||
			!slices.Equal(binding.Spec.ValidationActions, []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny}) {
			t.Errorf("%s is not bound to deny everywhere", p.Name)
		}
		if p.Spec.FailurePolicy == nil || *p.Spec.FailurePolicy != admissionregistrationv1.Fail {
			t.Errorf("%s lets through what it cannot judge", p.Name)
		}
		for _, validation := range p.Spec.Validations {
			if validation.MessageExpression == "" || validation.Reason == nil {
				t.Errorf("%s refuses without a message or a reason: %s", p.Name, validation.Expression)
			}
		}
	}
	if len(bindings) != len(policies) {
		t.Errorf("%d bindings for %d policies", len(bindings), len(policies))
	}
}

// TestTheWebhookReachesTheHubAndNeverStandsInTheWay: its names are those that
// the hub keeps a certificate for.
func TestTheWebhookReachesTheHubAndNeverStandsInTheWay(t *testing.T) {
	objects := build(t, "hub")
	configurations := all[*admissionregistrationv1.ValidatingWebhookConfiguration](objects)
	if len(configurations) != 1 || configurations[0].Name != admission.ConfigurationName || len(configurations[0].Webhooks) != 1 {
		t.Fatalf("the webhooks are %v, want one of %s", configurations, admission.ConfigurationName)
	}
	webhook := configurations[0].Webhooks[0]
	if *webhook.FailurePolicy != admissionregistrationv1.Ignore || *webhook.SideEffects != admissionregistrationv1.SideEffectClassNone || *webhook.TimeoutSeconds > 5 {
		t.Errorf("failurePolicy %s, sideEffects %s, timeoutSeconds %d", *webhook.FailurePolicy, *webhook.SideEffects, *webhook.TimeoutSeconds)
	}
	reference := webhook.ClientConfig.Service
	if webhook.ClientConfig.CABundle != nil {
		t.Error("caBundle is given: applying it again would undo what the hub fills in")
	}
	services := all[*corev1.Service](objects)
	i := slices.IndexFunc(services, func(s *corev1.Service) bool { return s.Name == reference.Name && s.Namespace == reference.Namespace })
	if i < 0 {
		t.Fatalf("there is no service %s/%s", reference.Namespace, reference.Name)
	}
	pod := all[*appsv1.Deployment](objects)[0].Spec.Template
	for key, value := range services[i].Spec.Selector {
		if pod.Labels[key] != value {
			t.Errorf("the service selects %s=%s, the hub's pod has %v", key, value, pod.Labels)
		}
	}
	port := services[i].Spec.Ports[0]
	ports := pod.Spec.Containers[0].Ports
	i = slices.IndexFunc(ports, func(p corev1.ContainerPort) bool { return p.Name == port.TargetPort.StrVal })
	if i < 0 || port.Port != 443 || !slices.Contains(pod.Spec.Containers[0].Args, fmt.Sprintf("--webhook-port=%d", ports[i].ContainerPort)) {
		t.Errorf("port %v of the service, ports %v and flags %q of the hub do not fit", port, ports, pod.Spec.Containers[0].Args)
	}
	if !slices.Contains(names[*rbacv1.Role](objects), admission.SecretName) {
		t.Errorf("nobody may write Secret %s", admission.SecretName)
	}
}

// TestTheDashboardIsReachedOverTLS: whoever looks needs no right of the hub's.
func TestTheDashboardIsReachedOverTLS(t *testing.T) {
	objects := build(t, "hub-with-dashboard")
	services := all[*corev1.Service](objects)
	i := slices.IndexFunc(services, func(s *corev1.Service) bool { return s.Name == "kronvoy-dashboard" })
	if i < 0 {
		t.Fatal("there is no service kronvoy-dashboard")
	}
	if services[i].Spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		t.Error("a browser may get from the process that knows its session to another one")
	}
	container := all[*appsv1.Deployment](objects)[0].Spec.Template.Spec.Containers[0]
	port := slices.IndexFunc(container.Ports, func(p corev1.ContainerPort) bool { return p.Name == services[i].Spec.Ports[0].TargetPort.StrVal })
	if port < 0 || !slices.Contains(container.Args, fmt.Sprintf("--dashboard-address=:%d", container.Ports[port].ContainerPort)) {
		t.Errorf("ports %v and flags %q of the hub do not fit", container.Ports, container.Args)
	}
	for _, role := range all[*rbacv1.ClusterRole](objects) {
		for _, rule := range role.Rules {
			if slices.Contains(rule.Verbs, "impersonate") {
				t.Errorf("%s may act as others", role.Name)
			}
			if strings.HasPrefix(role.Name, "kronvoy-viewer") && (slices.Contains(rule.Resources, "manifestworks") || slices.Contains(rule.Resources, "secrets") ||
				slices.ContainsFunc(rule.Verbs, func(verb string) bool { return !slices.Contains([]string{"get", "list", "watch"}, verb) })) {
				t.Errorf("%s gives %v on %v", role.Name, rule.Verbs, rule.Resources)
			}
		}
	}
}

// build runs kustomize, as pinned by the tools module, and decodes what it
// prints; a field that its kind does not have is an error.
func build(t *testing.T, name string) []runtime.Object {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-modfile=../tools/go.mod", "kustomize", "build", name)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("building config/%s: %v\n%s", name, err, stderr.Bytes())
	}
	decoder := decoder(t)
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(out)))
	var objects []runtime.Object
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		object, _, err := decoder.Decode(document, nil, nil)
		if err != nil {
			t.Errorf("decoding an object of config/%s: %v\n%s", name, err, document)
			continue
		}
		objects = append(objects, object)
	}
}

func decoder(t *testing.T) runtime.Decoder {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		admissionregistrationv1.AddToScheme, corev1.AddToScheme, appsv1.AddToScheme, rbacv1.AddToScheme, apiextensionsv1.AddToScheme, clusterv1beta2.Install,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
}

// all are the objects of one kind.
func all[T runtime.Object](objects []runtime.Object) []T {
	var found []T
	for _, object := range objects {
		if o, ok := object.(T); ok {
			found = append(found, o)
		}
	}
	return found
}

func names[T interface {
	runtime.Object
	metav1.Object
}](objects []runtime.Object) []string {
	var found []string
	for _, object := range all[T](objects) {
		found = append(found, object.GetName())
	}
	return found
}
