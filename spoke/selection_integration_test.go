//go:build integration

package spoke_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke"
)

// selecting is a manifest with a selection of ConfigMaps in the world's
// namespace whose role is the given one.
func (w *world) selecting(role string, paths ...string) *manifest {
	m := w.configMap("carrier")
	m.selection = &kronvoyv1alpha1.Selection{
		Node: "found", Version: "v1", Resource: "configmaps", Namespace: w.ns,
		Selector: metav1.LabelSelector{MatchLabels: map[string]string{"role": role}}, Paths: paths,
	}
	m.selection.Hash = hashOf([]byte(w.json(m.selection)))
	return m
}

// labelled makes a ConfigMap with a role.
func (w *world) labelled(namespace, name, role, color string) *manifest {
	w.t.Helper()
	m := w.configMap(name, "color", color)
	m.object.SetNamespace(namespace)
	m.object.SetLabels(map[string]string{"role": role, "app.kubernetes.io/name": name})
	if err := w.client.Create(w.ctx, m.object.DeepCopy()); err != nil {
		w.t.Fatal(err)
	}
	return m
}

// lists waits until the report's list is this one: an object a line, with the
// values behind its name.
func (w *world) lists(work string, m *manifest, want ...string) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%v to be listed", want), func() error {
		s, err := w.selection(work, m)
		if err != nil {
			return err
		}
		got := []string{}
		for _, item := range s.Items {
			line := item.Namespace + "/" + item.Name
			for _, value := range item.Values {
				line += " " + value.Path + "=" + value.Value
			}
			got = append(got, line)
		}
		if diff := cmp.Diff(append([]string{}, want...), got); diff != "" || !s.Listed {
			return fmt.Errorf("listed is %t, message %q (-want +got):\n%s", s.Listed, s.Message, diff)
		}
		return nil
	})
}

// unlisted waits until the report says why there is no list.
func (w *world) unlisted(work string, m *manifest, why string) {
	w.t.Helper()
	w.eventually("the report to say "+why, func() error {
		s, err := w.selection(work, m)
		if err != nil {
			return err
		}
		if s.Listed || !strings.Contains(s.Message, why) {
			return fmt.Errorf("listed is %t, message %q", s.Listed, s.Message)
		}
		return nil
	})
}

func (w *world) selection(work string, m *manifest) (kronvoyv1alpha1.SelectionReport, error) {
	for _, s := range w.getReport(work).Selections {
		if s.Node == m.selection.Node && s.Hash == m.selection.Hash {
			return s, nil
		}
	}
	return kronvoyv1alpha1.SelectionReport{}, fmt.Errorf("the report says nothing of the selection")
}

func TestWhatASelectorMatchesIsListedAndFollowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	carrier := w.selecting("db", "data.color")
	w.ship("one", carrier)
	w.lists("one", carrier)

	b := w.labelled(w.ns, "b", "db", "blue")
	a := w.labelled(w.ns, "a", "db", "green")
	other := w.labelled(w.ns, "c", "web", "red")
	w.lists("one", carrier, w.ns+`/a data.color="green"`, w.ns+`/b data.color="blue"`)

	w.patch(a, "somebody", `{"data":{"color":"yellow"}}`)
	w.patch(b, "somebody", `{"metadata":{"labels":{"role":"web"}}}`)
	w.lists("one", carrier, w.ns+`/a data.color="yellow"`)

	w.patch(other, "somebody", `{"metadata":{"labels":{"role":"db"}}}`)
	w.patch(a, "somebody", `{"data":{"color":null}}`)
	w.lists("one", carrier, w.ns+`/a`, w.ns+`/c data.color="red"`)

	if err := w.client.Delete(w.ctx, w.live(a)); err != nil {
		t.Fatal(err)
	}
	w.lists("one", carrier, w.ns+`/c data.color="red"`)

	w.quiet()
	w.written()
	w.patch(other, "somebody", `{"data":{"size":"large"},"metadata":{"annotations":{"a":"b"}}}`)
	w.quiet()
	if got := w.written(); len(got) > 0 {
		t.Errorf("a change of what nobody asked for made the agent write %v", got)
	}
}

func TestASelectionLooksInOneNamespaceOrInAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	elsewhere := w.ns + "-elsewhere"
	if err := w.client.Create(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: elsewhere}}); err != nil {
		t.Fatal(err)
	}
	role := "role-of-" + w.ns
	w.labelled(w.ns, "here", role, "red")
	w.labelled(elsewhere, "there", role, "blue")
	one, all := w.selecting(role), w.selecting(role, `metadata.labels['app\.kubernetes\.io/name']`)
	all.object.SetName("carrier-of-all")
	all.selection.Node, all.selection.Hash, all.selection.Namespace = "everywhere", "h-all", ""
	w.ship("one", one, all)
	w.lists("one", one, w.ns+"/here")
	w.lists("one", all, w.ns+`/here metadata.labels['app\.kubernetes\.io/name']="here"`,
		elsewhere+`/there metadata.labels['app\.kubernetes\.io/name']="there"`)
}

func TestAWholeObjectIsListedWithoutItsManagedFields(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.labelled(w.ns, "a", "db", "red")
	carrier := w.selecting("db", "")
	w.ship("one", carrier)
	w.eventually("the object to be listed", func() error {
		s, err := w.selection("one", carrier)
		if err != nil || len(s.Items) != 1 || len(s.Items[0].Values) != 1 {
			return fmt.Errorf("it is %v, %w", s, err)
		}
		raw := s.Items[0].Values[0].Value
		if !strings.Contains(raw, `"color":"red"`) || !strings.Contains(raw, `"uid"`) || strings.Contains(raw, "managedFields") {
			return fmt.Errorf("the object is %s", raw)
		}
		return nil
	})
}

func TestANewSelectorGetsANewList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var open atomic.Int64
	w.options = func(o *spoke.Options) { o.Spoke = countWatches(o.Spoke, "role", &open) }
	w.start()
	w.labelled(w.ns, "a", "db", "red")
	w.labelled(w.ns, "b", "web", "blue")
	first, second := w.selecting("db", "data.color"), w.selecting("web", "data.color")
	w.ship("one", first)
	w.lists("one", first, w.ns+`/a data.color="red"`)
	w.update("one", second)
	w.lists("one", second, w.ns+`/b data.color="blue"`)
	if got := w.getReport("one").Selections; len(got) != 1 {
		t.Errorf("the report has %d selections", len(got))
	}
	w.eventually("the old watch to end", func() error { return watches(&open, 1) })

	w.update("one", w.configMap("carrier"))
	w.eventually("a selection that left to be reported no more", func() error {
		if got := w.getReport("one").Selections; len(got) > 0 {
			return fmt.Errorf("the report has %v", got)
		}
		return watches(&open, 0)
	})
}

func TestTheWatchOfASelectionEndsWithItsWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var open atomic.Int64
	w.options = func(o *spoke.Options) { o.Spoke = countWatches(o.Spoke, "role", &open) }
	w.start()
	carrier := w.selecting("db")
	w.ship("one", carrier)
	same := w.selecting("db")
	same.object.SetName("another-carrier")
	w.ship("two", same)
	w.lists("one", carrier)
	w.lists("two", same)
	w.eventually("two works to share a watch", func() error { return watches(&open, 1) })
	for _, work := range []string{"one", "two"} {
		if err := w.client.Delete(w.ctx, w.getWork(work)); err != nil {
			t.Fatal(err)
		}
		w.workGone(work)
	}
	w.eventually("the watch to end", func() error { return watches(&open, 0) })
}

func watches(open *atomic.Int64, want int64) error {
	if got := open.Load(); got != want {
		return fmt.Errorf("%d watches are open", got)
	}
	return nil
}

// countWatches counts the open watches that select by a label.
func countWatches(config *rest.Config, label string, open *atomic.Int64) *rest.Config {
	counted := rest.CopyConfig(config)
	counted.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(req)
			query := req.URL.Query()
			if err == nil && query.Get("watch") != "" && strings.Contains(query.Get("labelSelector"), label) {
				open.Add(1)
				resp.Body = &closing{ReadCloser: resp.Body, open: open}
			}
			return resp, err
		})
	})
	return counted
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

type closing struct {
	io.ReadCloser
	open   *atomic.Int64
	closed atomic.Bool
}

func (c *closing) Close() error {
	if !c.closed.Swap(true) {
		c.open.Add(-1)
	}
	return c.ReadCloser.Close()
}

func TestWhatTheAgentMayNotListIsSaidAndHoldsNothingUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	user := "agent-of-" + w.cluster
	allow := func(name string, rules ...rbacv1.PolicyRule) {
		t.Helper()
		for _, obj := range []client.Object{
			&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules},
			&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
				RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
				Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}},
		} {
			if err := w.client.Create(w.ctx, obj); err != nil {
				t.Fatal(err)
			}
		}
	}
	all := []string{"*"}
	allow(user, rbacv1.PolicyRule{APIGroups: []string{"work.open-cluster-management.io"}, Resources: all, Verbs: all},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: all})
	w.options = func(o *spoke.Options) {
		o.Spoke = rest.CopyConfig(o.Spoke)
		o.Spoke.Impersonate = rest.ImpersonationConfig{UserName: user}
	}
	w.start()
	carrier := w.selecting("db")
	carrier.selection.Resource = "services"
	w.ship("one", carrier)
	w.settled("one")
	w.unlisted("one", carrier, `cannot list resource "services"`)

	allow(user+"-more", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"services"}, Verbs: []string{"list", "watch"}})
	w.lists("one", carrier)

	// A list that may not be read any more is not known any more.
	if err := w.client.Delete(w.ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: user + "-more"}}); err != nil {
		t.Fatal(err)
	}
	w.stop()
	w.start()
	w.unlisted("one", carrier, `cannot list resource "services"`)
}

func TestAKindThatIsNotServedIsListedOnceItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	group := w.ns + ".example.com"
	carrier := w.selecting("db", "size")
	carrier.selection.Group, carrier.selection.Resource = group, "gadgets"
	w.ship("one", carrier)
	w.settled("one")
	w.unlisted("one", carrier, "the cluster does not serve gadgets."+group+" in version v1")

	crd := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "gadgets." + group},
		"spec": map[string]any{
			"group": group, "scope": "Namespaced",
			"names": map[string]any{"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "listKind": "GadgetList"},
			"versions": []any{map[string]any{
				"name": "v1", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
			}},
		},
	}}
	if err := w.client.Create(w.ctx, crd); err != nil {
		t.Fatal(err)
	}
	w.lists("one", carrier)
	gadget := &manifest{object: &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": group + "/v1", "kind": "Gadget", "size": int64(3),
		"metadata": map[string]any{"name": "mine", "namespace": w.ns, "labels": map[string]any{"role": "db"}},
	}}}
	w.eventually("the kind to be served", func() error { return w.client.Create(w.ctx, gadget.object.DeepCopy()) })
	w.lists("one", carrier, w.ns+"/mine size=3")

	// Without its kind there is nothing to be listed: that is no empty list.
	if err := w.client.Delete(w.ctx, crd); err != nil {
		t.Fatal(err)
	}
	w.unlisted("one", carrier, "does not serve")
}

func TestARestartKeepsTheListAndFindsWhatChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	a := w.labelled(w.ns, "a", "db", "red")
	carrier := w.selecting("db", "data.color")
	w.ship("one", carrier)
	w.lists("one", carrier, w.ns+`/a data.color="red"`)
	w.quiet()
	w.stop()
	w.written()
	w.start()
	w.quiet()
	if got := w.written(); len(got) > 0 {
		t.Errorf("a restart made the agent write %v", got)
	}

	w.stop()
	w.patch(a, "somebody", `{"data":{"color":"blue"}}`)
	w.labelled(w.ns, "b", "db", "green")
	w.start()
	w.lists("one", carrier, w.ns+`/a data.color="blue"`, w.ns+`/b data.color="green"`)
}
