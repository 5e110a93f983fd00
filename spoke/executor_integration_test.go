//go:build integration

package spoke_test

import (
	"fmt"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// grant gives a service account of the world's namespace rights in it.
func (w *world) grant(account, resource string, verbs ...string) {
	w.t.Helper()
	name := account + "-" + resource + "-" + strings.Join(verbs, "-")
	for _, obj := range []client.Object{
		&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.ns}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{resource}, Verbs: verbs}}},
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.ns},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: account, Namespace: w.ns}},
		},
	} {
		if err := w.client.Create(w.ctx, obj); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) executedBy(account string, configs ...workv1.ManifestConfigOption) func(*workv1.ManifestWork) {
	return func(work *workv1.ManifestWork) {
		work.Spec.ManifestConfigs = configs
		work.Spec.Executor = &workv1.ManifestWorkExecutor{Subject: workv1.ManifestWorkExecutorSubject{
			Type: workv1.ExecutorSubjectTypeServiceAccount, ServiceAccount: &workv1.ManifestWorkSubjectServiceAccount{Namespace: w.ns, Name: account},
		}}
	}
}

func TestAnExecutorLimitsWhatAWorkMayDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.grant("deployer", "configmaps", "get", "create", "patch")
	mine, secret := w.configMap("mine", "color", "blue"), w.configMap("secret")
	secret.object.SetKind("Secret")
	delete(secret.object.Object, "data")
	w.byHand("one", w.executedBy("deployer"), mine, secret)
	w.applied("one", "mine", workv1.AppliedManifestComplete)
	message := w.applied("one", "secret", kronvoyv1alpha1.ReasonForbidden)
	if want := `"system:serviceaccount:` + w.ns + `:deployer" cannot`; !strings.Contains(message, want) {
		t.Errorf("message %q, want %q in it", message, want)
	}
	if w.live(secret) != nil {
		t.Error("the secret was made")
	}

	// Drift is put right in the executor's name, too, and the deletion waits for
	// his right to delete.
	w.patch(mine, "somebody", `{"data":{"color":"red"}}`)
	w.data(mine, map[string]string{"color": "blue"})
	if err := w.client.Delete(w.ctx, w.getWork("one")); err != nil {
		t.Fatal(err)
	}
	w.eventually("the work to say who may not delete", func() error {
		for _, c := range w.getWork("one").Status.Conditions {
			if c.Type == workv1.WorkDeleting && strings.Contains(c.Message, `:deployer" cannot delete`) {
				return nil
			}
		}
		return fmt.Errorf("it says %v", w.getWork("one").Status.Conditions)
	})
	w.grant("deployer", "configmaps", "delete")
	w.collect(mine)
	w.workGone("one")
}

// The agent may read the secret, its work's author may not: no strategy, rule
// or message shows it to him.
func TestAnExecutorLimitsWhatAWorkMaySee(t *testing.T) {
	t.Parallel()
	tests := map[string]workv1.UpdateStrategyType{
		"read-only": workv1.UpdateStrategyTypeReadOnly, "create-only": workv1.UpdateStrategyTypeCreateOnly,
		"update": workv1.UpdateStrategyTypeUpdate, "apply": workv1.UpdateStrategyTypeServerSideApply,
	}
	w := newWorld(t)
	w.start()
	for name, strategy := range tests {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			there := w.configMap(name)
			there.object.SetKind("Secret")
			_ = unstructured.SetNestedField(there.object.Object, "cGFzc3dvcmQ=", "data", "password")
			_ = unstructured.SetNestedField(there.object.Object, map[string]any{kronvoyv1alpha1.LabelManaged: "true"}, "metadata", "labels") // the agent's watches see it
			w.exists(there)
			m := w.configMap(name)
			m.object.SetKind("Secret")
			delete(m.object.Object, "data")
			w.byHand(name, w.executedBy("reader", workv1.ManifestConfigOption{
				ResourceIdentifier: workv1.ResourceIdentifier{Resource: "secrets", Name: name, Namespace: w.ns},
				UpdateStrategy:     &workv1.UpdateStrategy{Type: strategy},
				FeedbackRules:      []workv1.FeedbackRule{{Type: workv1.JSONPathsType, JsonPaths: []workv1.JsonPath{{Name: "password", Path: ".data.password"}}}},
				ConditionRules: []workv1.ConditionRule{{
					Condition: workv1.ManifestComplete, Type: workv1.CelConditionExpressionsType, CelExpressions: []string{"object.data.password.startsWith('c')"},
				}},
			}), m)
			message := w.applied(name, name, kronvoyv1alpha1.ReasonForbidden)
			w.patch(there, "somebody", `{"metadata":{"annotations":{"a":"b"}}}`)
			w.quiet()
			status := manifestStatus(w.getWork(name), name)
			if strings.Contains(message, "cGFz") || len(status.StatusFeedbacks.Values) > 0 {
				t.Errorf("the message is %q, the feedback %v", message, status.StatusFeedbacks.Values)
			}
			for _, c := range status.Conditions {
				if c.Type == workv1.ManifestComplete {
					t.Errorf("the condition is %v", c)
				}
			}
		})
	}
	w.grant("reader", "secrets", "get")
	w.eventually("what may be read to be fed back", func() error {
		if got := values(w.getWork("read-only"), "read-only")["password"]; got != "cGFzc3dvcmQ=" {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

func TestAnExecutorLimitsTheListsOfAWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.grant("lister", "configmaps", "get", "create", "patch")
	carrier := w.selecting("db")
	work := w.work("one", carrier)
	w.executedBy("lister", work.Spec.ManifestConfigs...)(work)
	if err := w.client.Create(w.ctx, work); err != nil {
		t.Fatal(err)
	}
	if err := w.client.Create(w.ctx, &kronvoyv1alpha1.WorkReport{ObjectMeta: metav1.ObjectMeta{Name: "one", Namespace: w.cluster}}); err != nil {
		t.Fatal(err)
	}
	w.settled("one")
	w.unlisted("one", carrier, `:lister" cannot list resource`)
}

func TestAnExecutorThatIsNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	m := w.configMap("settings", "a", "b")
	w.byHand("one", func(work *workv1.ManifestWork) {
		work.Spec.Executor = &workv1.ManifestWorkExecutor{Subject: workv1.ManifestWorkExecutorSubject{Type: workv1.ExecutorSubjectTypeServiceAccount}}
	}, m)
	w.applied("one", "settings", kronvoyv1alpha1.ReasonInvalidPolicy)
	if w.live(m) != nil {
		t.Error("it was applied")
	}
}
