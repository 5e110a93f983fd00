//go:build integration

package spoke_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// change is what somebody else does to an object, by merge patch.
type change struct{ who, subresource, patch string }

// kindCase is one object as people write it, what others do to it by right, and
// what one does who should not.
type kindCase struct {
	// theirs changes what is not ours: no finding, no write.
	theirs []change
	// drift changes what is; finding is what is then told of it.
	drift   change
	finding string
	// conflict is what stays a conflict, before and after.
	conflict string
}

// kindCases has an entry for every file in testdata/kinds.
var kindCases = map[string]kindCase{
	"deployment": {
		theirs: []change{
			{"kube-controller-manager", "status", `{"status":{"replicas":2,"readyReplicas":2,"availableReplicas":2,"observedGeneration":1}}`},
			{"kubectl-rollout", "", `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"now"}}}}}`},
		},
		drift:   change{"kubectl-set", "", `{"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"web"}],"containers":[{"name":"web","image":"nginx:9"}]}}}}`},
		finding: `Deployment/deployment spec.template.spec.containers[name="web"].image "nginx:1"->"nginx:9" (kubectl-set)`,
	},
	"scaled-deployment": {
		theirs:   []change{{"kube-controller-manager", "scale", `{"spec":{"replicas":7}}`}},
		drift:    change{"kubectl-set", "", `{"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"web"}],"containers":[{"name":"web","image":"nginx:9"}]}}}}`},
		finding:  `Deployment/scaled-deployment spec.template.spec.containers[name="web"].image "nginx:1"->"nginx:9" (kubectl-set)`,
		conflict: `Conflict Deployment/scaled-deployment spec.replicas 2->7 (kube-controller-manager (scale))`,
	},
	"statefulset": {
		theirs:  []change{{"kube-controller-manager", "status", `{"status":{"replicas":1,"currentRevision":"a"}}`}},
		drift:   change{"kubectl-edit", "", `{"spec":{"updateStrategy":{"rollingUpdate":{"partition":3}}}}`},
		finding: `StatefulSet/statefulset spec.updateStrategy.rollingUpdate.partition 0->3 (kubectl-edit)`,
	},
	"daemonset": {
		theirs:  []change{{"kube-controller-manager", "status", `{"status":{"currentNumberScheduled":1,"desiredNumberScheduled":1,"numberMisscheduled":0,"numberReady":1}}`}},
		drift:   change{"kubectl-edit", "", `{"spec":{"minReadySeconds":9}}`},
		finding: `DaemonSet/daemonset spec.minReadySeconds 3->9 (kubectl-edit)`,
	},
	"job": {
		theirs:  []change{{"kube-controller-manager", "status", `{"status":{"active":1}}`}},
		drift:   change{"kubectl-edit", "", `{"spec":{"backoffLimit":9}}`},
		finding: `Job/job spec.backoffLimit 2->9 (kubectl-edit)`,
	},
	"cronjob": {
		theirs:  []change{{"kube-controller-manager", "status", `{"status":{"lastScheduleTime":"2026-01-01T00:00:00Z"}}`}},
		drift:   change{"kubectl-edit", "", `{"spec":{"suspend":true}}`},
		finding: `CronJob/cronjob spec.suspend false->true (kubectl-edit)`,
	},
	"service": {
		theirs:  []change{{"cloud-controller-manager", "status", `{"status":{"loadBalancer":{"ingress":[{"ip":"10.9.8.7"}]}}}`}},
		drift:   change{"kubectl-edit", "", `{"spec":{"ports":[{"name":"http","port":80,"protocol":"TCP","targetPort":9999}]}}`},
		finding: `Service/service spec.ports[port=80,protocol="TCP"].targetPort 8080->9999 (kubectl-edit)`,
	},
	"configmap": {
		theirs:  []change{{"somebody", "", `{"data":{"own":"mine"}}`}},
		drift:   change{"kubectl-edit", "", `{"data":{"color":null},"metadata":{"labels":{"by":"edit"}}}`},
		finding: `ConfigMap/configmap data.color "blue"-> (kubectl-edit)`,
	},
	"secret": {
		theirs:  []change{{"somebody", "", `{"data":{"own":"bWluZQ=="}}`}},
		drift:   change{"kubectl-edit", "", `{"data":{"password":"aGFja2Vk","plain":"aGFja2Vk"}}`},
		finding: `Secret/secret data.password "***"->"***" (kubectl-edit) data.plain "***"->"***" (kubectl-edit)`,
	},
	"custom": {
		theirs: []change{
			{"operator", "status", `{"status":{"phase":"Ready","nodes":[{"name":"a"}]}}`},
			{"operator", "", `{"spec":{"free":{"theirs":{"a":1}},"assigned":"node-1"}}`},
		},
		drift:   change{"kubectl-edit", "", `{"spec":{"size":"tiny","free":{"deep":{"x":2}}}}`},
		finding: `Widget/custom spec.size "large"->"tiny" (kubectl-edit) spec.free.deep.x 1->2 (kubectl-edit)`,
	},
	"clusterrole": {
		drift:   change{"kubectl-edit", "", `{"rules":[{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}]}`},
		finding: `ClusterRole/NS-clusterrole rules [{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]->[{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}] (kubectl-edit)`,
	},
	"aggregated": {
		theirs:  []change{{"clusterrole-aggregation-controller", "", `{"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}`}},
		drift:   change{"kubectl-edit", "", `{"aggregationRule":{"clusterRoleSelectors":[{"matchLabels":{"all":"true"}}]}}`},
		finding: `ClusterRole/NS-aggregated aggregationRule.clusterRoleSelectors [{"matchLabels":{"NS":"true"}}]->[{"matchLabels":{"all":"true"}}] (kubectl-edit)`,
	},
	"rolebinding": {
		drift:   change{"kubectl-edit", "", `{"subjects":[{"kind":"User","name":"eve","apiGroup":"rbac.authorization.k8s.io"}]}`},
		finding: `RoleBinding/rolebinding subjects [{"apiGroup":"","kind":"ServiceAccount","name":"web","namespace":"NS"}]->[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"eve"}] (kubectl-edit)`,
	},
	"validatingwebhook": {
		theirs:  []change{{"cainjector", "", `{"webhooks":[{"name":"check.example.com","clientConfig":{"caBundle":"CA","service":{"name":"hook","namespace":"NS","path":"/check","port":443}},"rules":[{"apiGroups":["none.example.com"],"apiVersions":["v1"],"operations":["CREATE"],"resources":["nothings"],"scope":"*"}],"sideEffects":"None","admissionReviewVersions":["v1"],"failurePolicy":"Ignore","matchPolicy":"Equivalent","timeoutSeconds":10,"namespaceSelector":{},"objectSelector":{}}]}`}},
		drift:   change{"kubectl-edit", "", `{"webhooks":[{"name":"check.example.com","clientConfig":{"caBundle":"CA","service":{"name":"hook","namespace":"NS","path":"/check","port":443}},"rules":[{"apiGroups":["none.example.com"],"apiVersions":["v1"],"operations":["CREATE"],"resources":["nothings"],"scope":"*"}],"sideEffects":"None","admissionReviewVersions":["v1"],"failurePolicy":"Fail","matchPolicy":"Equivalent","timeoutSeconds":10,"namespaceSelector":{},"objectSelector":{}}]}`},
		finding: `ValidatingWebhookConfiguration/NS-validatingwebhook webhooks[name="check.example.com"].failurePolicy "Ignore"->"Fail" (kubectl-edit)`,
	},
	"mutatingwebhook": { // the manifest names the caBundle
		drift:   change{"cainjector", "", `{"metadata":{"labels":{"by":"cainjector"}},"webhooks":[{"name":"change.example.com","clientConfig":{"caBundle":"","service":{"name":"hook","namespace":"NS","path":"/change","port":443}},"rules":[{"apiGroups":["none.example.com"],"apiVersions":["v1"],"operations":["CREATE"],"resources":["nothings"],"scope":"*"}],"sideEffects":"None","admissionReviewVersions":["v1"],"failurePolicy":"Ignore","matchPolicy":"Equivalent","timeoutSeconds":10,"reinvocationPolicy":"Never","namespaceSelector":{},"objectSelector":{}}]}`},
		finding: `MutatingWebhookConfiguration/NS-mutatingwebhook webhooks[name="change.example.com"].clientConfig.caBundle "CA…-> (cainjector)`,
	},
	"hpa": {
		theirs:  []change{{"kube-controller-manager", "status", `{"status":{"currentReplicas":2,"desiredReplicas":3}}`}},
		drift:   change{"kubectl-edit", "", `{"spec":{"maxReplicas":99}}`},
		finding: `HorizontalPodAutoscaler/hpa spec.maxReplicas 5->99 (kubectl-edit)`,
	},
	"ingress": {
		theirs:  []change{{"ingress-controller", "status", `{"status":{"loadBalancer":{"ingress":[{"ip":"10.9.8.7"}]}}}`}},
		drift:   change{"kubectl-edit", "", `{"spec":{"ingressClassName":"other"}}`},
		finding: `Ingress/ingress spec.ingressClassName "nginx"->"other" (kubectl-edit)`,
	},
	"networkpolicy": {
		drift:   change{"kubectl-edit", "", `{"spec":{"policyTypes":["Ingress"]}}`},
		finding: `NetworkPolicy/networkpolicy spec.policyTypes ["Ingress","Egress"]->["Ingress"] (kubectl-edit)`,
	},
	"pdb": {
		theirs:  []change{{"kube-controller-manager", "status", `{"status":{"currentHealthy":1,"desiredHealthy":1,"disruptionsAllowed":0,"expectedPods":1}}`}},
		drift:   change{"kubectl-edit", "", `{"spec":{"maxUnavailable":"50%"}}`},
		finding: `PodDisruptionBudget/pdb spec.maxUnavailable 1->"50%" (kubectl-edit)`,
	},
	"pvc": {
		theirs:  []change{{"kube-controller-manager", "status", `{"status":{"phase":"Bound"}}`}, {"scheduler", "", `{"metadata":{"annotations":{"volume.kubernetes.io/selected-node":"a"}}}`}},
		drift:   change{"kubectl-label", "", `{"metadata":{"labels":{"app":"other"}}}`},
		finding: `PersistentVolumeClaim/pvc metadata.labels.app "web"->"other" (kubectl-label)`,
	},
	"serviceaccount": {
		theirs:  []change{{"kube-controller-manager", "", `{"secrets":[{"name":"token"}]}`}},
		drift:   change{"kubectl-edit", "", `{"automountServiceAccountToken":true}`},
		finding: `ServiceAccount/serviceaccount automountServiceAccountToken false->true (kubectl-edit)`,
	},
	"pod": {
		theirs:  []change{{"kubelet", "status", `{"status":{"phase":"Running"}}`}},
		drift:   change{"kubectl-edit", "", `{"spec":{"containers":[{"name":"web","image":"nginx:9"}]}}`},
		finding: `Pod/pod spec.containers[name="web"].image "nginx:1"->"nginx:9" (kubectl-edit)`,
	},
}

// here puts the world's names into a text.
func (w *world) here(text string) string {
	return strings.NewReplacer("NS", w.ns, `"CA"`, `"`+bundle()+`"`, `"CA…`, `"`+bundle()[:254]+"…").Replace(text)
}

// bundle is a certificate as a caBundle holds it: the API server reads it.
var bundle = sync.OnceValue(func() string {
	certificate, _, err := cert.GenerateSelfSignedCertKey("hook.example.com", nil, nil)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(certificate)
})

// kinds reads testdata/kinds, and installs the kind of the custom resource.
func (w *world) kinds() map[string]*manifest {
	w.t.Helper()
	all := map[string]*manifest{}
	files, err := filepath.Glob(filepath.Join("testdata", "kinds", "*.yaml"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			w.t.Fatal(err)
		}
		obj := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(w.here(string(content))), &obj.Object); err != nil {
			w.t.Fatalf("%s: %v", file, err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".yaml")] = &manifest{object: obj}
	}
	return all
}

// by applies changes as others.
func (w *world) by(m *manifest, changes ...change) {
	w.t.Helper()
	for _, c := range changes {
		content := []byte(w.here(c.patch))
		patch := client.RawPatch("application/merge-patch+json", content)
		if strings.Contains(c.patch, "$setElementOrder") || (m.object.GetKind() == "Pod" && c.subresource == "") {
			patch = client.RawPatch("application/strategic-merge-patch+json", content)
		}
		target := m.object.DeepCopy()
		var err error
		if c.subresource == "" {
			err = w.client.Patch(w.ctx, target, patch, client.FieldOwner(c.who))
		} else {
			err = w.client.SubResource(c.subresource).Patch(w.ctx, target, patch, client.FieldOwner(c.who))
		}
		if err != nil {
			w.t.Fatalf("%s %s as %s: %v", m.object.GetKind(), m.object.GetName(), c.who, err)
		}
	}
}

// nothingWritten fails when the agent wrote anything, or told of anything.
func (w *world) nothingWritten(when string, want []string) {
	w.t.Helper()
	w.quiet()
	if got := w.written(); len(got) > 0 {
		w.t.Errorf("%s the agent wrote %v", when, got)
	}
	w.told(when, want)
}

// told compares all findings with those wanted.
func (w *world) told(when string, want []string) {
	w.t.Helper()
	var got []string
	for name := range kindCases {
		got = append(got, findings(w.getReport(name))...)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.t.Errorf("%s the findings are\n%s\nwant\n%s", when, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// shipKinds ships a work for every kind and waits until all are applied and at
// rest.
func (w *world) shipKinds() map[string]*manifest {
	w.t.Helper()
	all := w.kinds()
	// No Pod is admitted without it, and no controller runs here that makes it.
	if err := w.client.Create(w.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: w.ns}}); err != nil {
		w.t.Fatal(err)
	}
	crd := &manifest{object: all["custom-kind"].object}
	delete(all, "custom-kind")
	w.ship("custom-kind", crd)
	w.settled("custom-kind")
	for name := range all {
		if _, known := kindCases[name]; !known {
			w.t.Fatalf("testdata/kinds/%s.yaml has no case", name)
		}
	}
	for name := range kindCases {
		if all[name] == nil {
			w.t.Fatalf("case %s has no testdata/kinds/%s.yaml", name, name)
		}
		w.ship(name, all[name])
	}
	for name := range kindCases {
		w.settled(name)
	}
	w.quiet()
	w.written()
	return all
}

// TestTheKindsThatPeopleHave goes through all kinds at once: what the server
// defaults and what others add is never drift, and what is ours is put right.
func TestTheKindsThatPeopleHave(t *testing.T) {
	w := newWorld(t)
	w.start()
	all := w.shipKinds()
	w.told("at first", nil)
	touch := func(n int) {
		for _, m := range all {
			w.by(m, change{"somebody", "", fmt.Sprintf(`{"metadata":{"annotations":{"touched":"%d"}}}`, n)})
		}
	}
	touch(1)
	w.nothingWritten("after a touch", nil)
	w.stop()
	w.start()
	w.nothingWritten("after a restart", nil)
	touch(2)
	w.nothingWritten("after another touch", nil)

	var conflicts []string
	for name, c := range kindCases {
		w.by(all[name], c.theirs...)
		if c.conflict != "" {
			conflicts = append(conflicts, c.conflict)
		}
	}
	w.quiet()
	for _, write := range w.written() {
		if !strings.HasSuffix(write, "/status") {
			t.Errorf("the agent wrote %s over what others do by right", write)
		}
	}
	w.told("after what others do by right", slices.Clone(conflicts))

	want := slices.Clone(conflicts)
	for name, c := range kindCases {
		w.by(all[name], c.drift)
		want = append(want, "Corrected "+w.here(c.finding))
	}
	w.quiet()
	writes := 0
	for _, write := range w.written() {
		if !strings.HasSuffix(write, "/status") {
			writes++
		}
	}
	if writes != len(kindCases) {
		t.Errorf("%d writes put right %d objects", writes, len(kindCases))
	}
	w.told("after drift", want)
	w.stop()
	w.start()
	w.nothingWritten("after drift and a restart", want)
	w.hasReplicas(all["scaled-deployment"], 7)
	if own, _, _ := unstructured.NestedString(w.live(all["secret"]).Object, "data", "own"); own != "bWluZQ==" {
		t.Errorf("what somebody put into the Secret is %q", own)
	}
}

// A policy of the cluster that adds to every write of every kind adds nothing to
// what the agent has to say or to do.
func TestTheKindsThatPeopleHaveUnderAPolicyThatAddsToAllOfThem(t *testing.T) {
	w := newWorld(t)
	w.admissionOf("*", "*", "*",
		`has(object.metadata) && (has(object.metadata.namespace) && object.metadata.namespace == "`+w.ns+`" || has(object.metadata.name) && object.metadata.name.startsWith("`+w.ns+`-"))`,
		`Object{metadata: Object.metadata{
			labels: {"team": "platform", "written-by": string(size(request.userInfo.username))},
			annotations: {"fields": string(has(object.metadata.managedFields) ? size(object.metadata.managedFields) : 0)}}}`)
	w.start()
	all := w.shipKinds()
	for name, m := range all {
		if got := w.live(m).GetLabels()["team"]; got != "platform" {
			t.Errorf("the policy did not act on %s: team is %q", name, got)
		}
	}
	w.told("at first", nil)
	for n := range 2 {
		for _, m := range all {
			w.by(m, change{"somebody", "", fmt.Sprintf(`{"metadata":{"annotations":{"touched":"%d"}}}`, n)})
		}
		w.nothingWritten("after a touch", nil)
		w.stop()
		w.start()
		w.nothingWritten("after a restart", nil)
	}
}

// A policy that rewrites what a manifest says has the last word: that is told
// once, and nothing is written because of it.
func TestAPolicyThatRewritesAnImageIsNotFought(t *testing.T) {
	w := newWorld(t)
	w.admissionOf("*", "*", "*", `object.metadata.?namespace.orValue("") == "`+w.ns+`"`,
		`object.kind == "Deployment" ? Object{spec: Object.spec{revisionHistoryLimit: 3, template: Object.spec.template{spec: Object.spec.template.spec{
			containers: [Object.spec.template.spec.containers{name: "web", image: "mirror.example.com/nginx:1"}]}}}} : Object{metadata: Object.metadata{labels: {"team": "x"}}}`)
	w.start()
	web := w.deployment("web", 2)
	w.ship("one", web)
	w.settled("one")
	const told = `MutatedOnAdmission Deployment/web spec.template.spec.containers[name="web"].image "nginx:1"->"mirror.example.com/nginx:1" ()`
	w.reported("one", told)
	first := w.getReport("one").Findings[0]
	w.quiet()
	w.written()
	for n := range 2 {
		w.by(web, change{"somebody", "", fmt.Sprintf(`{"metadata":{"annotations":{"touched":"%d"}}}`, n)})
		w.stop()
		w.start()
		w.untouched()
	}
	w.set(web, int64(7), "spec", "progressDeadlineSeconds")
	w.update("one", web)
	w.settled("one")
	w.quiet()
	if got := objectWrites(w.written(), "deployments"); got != 1 {
		t.Errorf("%d writes of one update", got)
	}
	w.reported("one", told)
	last := w.getReport("one")
	if last.FindingCount != 0 || last.Corrections != 0 || !last.Findings[0].FirstSeen.Equal(&first.FirstSeen) {
		t.Errorf("it was told of as %+v and now as %+v", first, last)
	}
	// What is drift beside it is put right, once.
	w.patchSub(web, "scale", "kubectl", `{"spec":{"replicas":9}}`)
	w.hasReplicas(web, 2)
	w.quiet()
	if got := objectWrites(w.written(), "deployments"); got != 1 {
		t.Errorf("%d writes put right one field", got)
	}
}

// Fields that are set once are named, for every kind in its own words.
func TestFieldsThatAreSetOnceAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	all := w.shipKinds()
	type change struct {
		fields []string
		value  any
		names  string
	}
	changes := map[string]change{
		"deployment":  {[]string{"spec", "selector", "matchLabels"}, map[string]any{"app": "other"}, "spec.selector"},
		"statefulset": {[]string{"spec", "serviceName"}, "other", "spec"},
		"job":         {[]string{"spec", "template", "spec", "restartPolicy"}, "OnFailure", "spec.template"},
		"rolebinding": {[]string{"roleRef", "name"}, "admin", "roleRef"},
		"pvc":         {[]string{"spec", "accessModes"}, []any{"ReadWriteMany"}, "spec"},
		"secret":      {[]string{"type"}, "example.com/other", "type"},
		"service":     {[]string{"spec", "clusterIP"}, "None", "spec.clusterIP"},
		"pod":         {[]string{"spec", "hostNetwork"}, true, "spec"},
	}
	for name, c := range changes {
		w.set(all[name], c.value, c.fields...)
		if name == "deployment" {
			w.set(all[name], c.value, "spec", "template", "metadata", "labels")
		}
		w.update(name, all[name])
	}
	for name, c := range changes {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			message := w.applied(name, all[name].object.GetName(), kronvoyv1alpha1.ReasonImmutableField)
			if !strings.Contains(message, "the manifest changes "+c.names) {
				t.Errorf("the message is %q", message)
			}
		})
	}
}
