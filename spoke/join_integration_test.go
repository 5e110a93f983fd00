//go:build integration

package spoke_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/join"
)

// lease is when the agent was last heard of.
func (w *world) lease() time.Time {
	w.t.Helper()
	lease := w.read(coordinationv1.SchemeGroupVersion.String(), "Lease", w.cluster, "managed-cluster-lease")
	if lease == nil {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, lease.Object["spec"].(map[string]any)["renewTime"].(string))
	if err != nil {
		w.t.Fatal(err)
	}
	return at
}

func (w *world) heartbeat(after time.Time) {
	w.t.Helper()
	w.eventually("a heartbeat", func() error {
		if at := w.lease(); !at.After(after) {
			return fmt.Errorf("the last was at %s", at)
		}
		return nil
	})
}

// rotated is OCM's condition about the agent's certificate.
func (w *world) rotated() *metav1.Condition {
	w.t.Helper()
	cluster := &clusterv1.ManagedCluster{}
	if err := w.client.Get(w.ctx, types.NamespacedName{Name: w.cluster}, cluster); client.IgnoreNotFound(err) != nil {
		w.t.Fatal(err)
	}
	return apimeta.FindStatusCondition(cluster.Status.Conditions, "ClusterCertificateRotated")
}

func TestCertificatesRotateWhileWorksAreUpdatedAndNobodyNotices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newRegistrar(w, 8*time.Second)
	r.accept()
	r.serve()
	r.says("NoBootstrapSecret", false)
	r.bootstrap(r.token(kronvoyv1alpha1.JoinNamespace))
	r.says("Joined", true)
	w.heartbeat(time.Time{})

	settings := w.configMap("settings", "color", "0")
	w.ship("one", settings)
	w.settled("one")
	begin := time.Now()
	last, longest := w.lease(), time.Duration(0)
	seen := map[string]bool{}
	for i := 1; len(seen) < 4; i++ { // three rotations
		w.update("one", w.configMap("settings", "color", fmt.Sprint(i)))
		w.settled("one")
		if at := w.lease(); at.After(last) {
			longest, last = max(longest, at.Sub(last)), at
		}
		if report := w.getReport("one"); len(report.Findings) > 0 {
			t.Fatalf("the report says %v", report.Findings)
		}
		seen[parseCertificate(r.identity()[kronvoyv1alpha1.SecretTLSCertificate]).SerialNumber.Text(16)] = true
		if time.Since(begin) > 50*time.Second {
			t.Fatalf("after %s there were certificates %v", time.Since(begin), seen)
		}
	}
	if longest > 5*time.Second {
		t.Errorf("the lease was not renewed for %s", longest)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.refusals) > 0 {
		t.Errorf("the hub refused %v", r.refusals)
	}
	if c := w.rotated(); c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("the condition is %v", c)
	}
	// One request for each certificate, and at most one under way.
	if serials, requests := r.serials(), w.mustRequests(r); len(requests) > len(serials)+1 {
		t.Errorf("%d requests led to %d certificates", len(requests), len(serials))
	}
}

func (w *world) mustRequests(r *registrar) []certificatesv1.CertificateSigningRequest {
	w.t.Helper()
	requests, err := r.requests(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	return requests
}

func TestWhoWasAwayTooLongKeepsItsClusterAndComesBackByANewToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newRegistrar(w, 4*time.Second)
	r.accept()
	r.bootstrap(r.token(kronvoyv1alpha1.JoinNamespace))
	r.serve()
	r.says("Joined", true)
	settings := w.configMap("settings", "color", "blue")
	w.ship("one", settings)
	w.settled("one")
	r.kept("one")
	// Nobody renews: the agent sees its certificate end.
	r.rule(func(*certificatesv1.CertificateSigningRequest) verdict { return ignore })
	ended := w.live(settings).GetUID()
	w.eventually("the token to be forgotten", func() error {
		return r.admin.CoreV1().ServiceAccounts(kronvoyv1alpha1.JoinNamespace).Delete(w.ctx, w.cluster, metav1.DeleteOptions{})
	})
	r.says("BootstrapRefused", false)
	r.mu.Lock()
	r.life = time.Hour
	r.mu.Unlock()
	w.stop()
	r.serve()
	r.says("BootstrapRefused", false)
	w.patch(settings, "kubectl-edit", `{"data":{"color":"red"}}`)
	w.hasColor(settings, "blue")

	r.rule(func(*certificatesv1.CertificateSigningRequest) verdict { return approve })
	back := time.Now()
	r.bootstrap(r.token(kronvoyv1alpha1.JoinNamespace))
	r.says("Joined", true)
	w.heartbeat(back)
	w.update("one", w.configMap("settings", "color", "green"))
	w.settled("one")
	w.hasColor(settings, "green")
	if uid := w.live(settings).GetUID(); uid != ended {
		t.Error("the object was made anew")
	}
}

// kept waits until the agent would know a work after a restart without its hub.
func (r *registrar) kept(work string) {
	r.w.t.Helper()
	r.w.eventually("the work to be kept", func() error {
		if r.w.read("v1", "Secret", r.ns, r.w.hubHash+"-"+work) == nil {
			return errors.New("it is not")
		}
		return nil
	})
}

func (w *world) hasColor(like *manifest, color string) {
	w.t.Helper()
	w.eventually("the color "+color, func() error {
		if got := w.live(like).Object["data"].(map[string]any)["color"]; got != color {
			return fmt.Errorf("it is %v", got)
		}
		return nil
	})
}

func TestADeniedClusterIsKeptAsItIsUntilItIsAcceptedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newRegistrar(w, time.Hour)
	r.accept()
	r.bootstrap(r.token(kronvoyv1alpha1.JoinNamespace))
	r.serve()
	r.says("Joined", true)
	settings := w.configMap("settings", "color", "blue")
	w.ship("one", settings)
	w.settled("one")
	r.kept("one")
	r.refuse()
	r.says("HubRefuses", false)
	w.patch(settings, "kubectl-edit", `{"data":{"color":"red"}}`)
	w.hasColor(settings, "blue")
	// A restart changes nothing about it.
	w.stop()
	r.serve()
	r.says("HubRefuses", false)
	w.patch(settings, "kubectl-edit", `{"data":{"color":"red"}}`)
	w.hasColor(settings, "blue")
	back := time.Now()
	r.accept()
	r.says("HubAnswers", true)
	w.heartbeat(back)
	w.update("one", w.configMap("settings", "color", "green"))
	w.settled("one")
	if requests := w.mustRequests(r); len(requests) != 1 {
		t.Errorf("there are %d requests", len(requests))
	}
}

func TestWhatKeepsAClusterFromJoiningIsSaidAndMended(t *testing.T) {
	t.Parallel()
	reply := func(v verdict) func(*certificatesv1.CertificateSigningRequest) verdict {
		return func(*certificatesv1.CertificateSigningRequest) verdict { return v }
	}
	tests := map[string]struct {
		token  func(*registrar) string
		rule   verdict
		reason string
	}{
		"a token that is none":            {token: func(*registrar) string { return "none" }, reason: "BootstrapRefused"},
		"an identity that may not join":   {token: func(r *registrar) string { return r.token("default") }, reason: "BootstrapForbidden"},
		"a request that is denied":        {token: func(r *registrar) string { return r.token(kronvoyv1alpha1.JoinNamespace) }, rule: deny, reason: "RequestRefused"},
		"a request that is not looked at": {token: func(r *registrar) string { return r.token(kronvoyv1alpha1.JoinNamespace) }, rule: ignore, reason: "WaitingForApproval"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := newRegistrar(w, time.Hour)
			r.accept()
			r.rule(reply(test.rule))
			r.bootstrap(test.token(r))
			r.serve()
			r.says(test.reason, false)
			before := len(w.mustRequests(r))
			r.rule(reply(approve))
			r.bootstrap(r.token(kronvoyv1alpha1.JoinNamespace))
			r.says("Joined", true)
			w.heartbeat(time.Time{})
			if got := len(w.mustRequests(r)); got > before+1 {
				t.Errorf("%d requests where %d had been", got, before)
			}
		})
	}
}

func TestARenewalThatIsDeniedIsToldToTheHub(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newRegistrar(w, 20*time.Second)
	r.accept()
	r.bootstrap(r.token(kronvoyv1alpha1.JoinNamespace))
	r.serve()
	r.says("Joined", true)
	r.rule(func(*certificatesv1.CertificateSigningRequest) verdict { return deny })
	err := wait.PollUntilContextTimeout(w.ctx, 50*time.Millisecond, 19*time.Second, true, func(context.Context) (bool, error) {
		c := w.rotated()
		return c != nil && c.Status == metav1.ConditionFalse, nil
	})
	if err != nil {
		t.Fatalf("the condition is %v: %v", w.rotated(), err)
	}
	if c := w.rotated(); !strings.Contains(c.Message, "Denied") || !strings.Contains(c.Message, "ends") {
		t.Errorf("the condition says %q", c.Message)
	}
	r.says("RenewalFailed", true)
	if got := len(w.mustRequests(r)); got != 2 {
		t.Errorf("there are %d requests, want the first and one renewal", got)
	}
}

// errCrashed is all that a crashed process hears.
var errCrashed = errors.New("crashed")

// crash ends a joiner at its nth write, before or after it is done.
type crash struct {
	next   http.RoundTripper
	shared *crashPlan
}

type crashPlan struct {
	mu    sync.Mutex
	nth   int
	after bool
	made  []string
	dead  chan struct{}
}

func (c *crash) RoundTrip(req *http.Request) (*http.Response, error) {
	p := c.shared
	p.mu.Lock()
	select {
	case <-p.dead:
		p.mu.Unlock()
		return nil, errCrashed
	default:
	}
	hit := false
	if req.Method != http.MethodGet && !strings.HasSuffix(req.URL.Path, "/events") {
		p.made = append(p.made, req.Method+" "+req.URL.Path)
		hit = len(p.made) == p.nth
	}
	if hit {
		close(p.dead)
	}
	p.mu.Unlock()
	if !hit {
		return c.next.RoundTrip(req)
	}
	if p.after {
		if resp, err := c.next.RoundTrip(req); err == nil {
			_ = resp.Body.Close()
		}
	}
	return nil, errCrashed
}

func TestACrashAtAnyWriteOfJoiningEndsWithOneCertificate(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for nth := 1; ; nth++ {
			w := newWorld(t)
			r := newRegistrar(w, time.Hour)
			r.accept()
			r.bootstrap(r.token(kronvoyv1alpha1.JoinNamespace))
			plan := &crashPlan{nth: nth, after: after, dead: make(chan struct{})}
			crashed := r.joinOnce(plan)
			if !crashed {
				if nth < 6 {
					t.Errorf("joining took only the writes %v", plan.made)
				}
				break
			}
			what := fmt.Sprintf("crash at %s, after it is done: %t", plan.made[nth-1], after)
			if r.joinOnce(&crashPlan{dead: make(chan struct{})}) {
				t.Fatalf("%s: the second process crashed", what)
			}
			requests := w.mustRequests(r)
			if len(requests) != 1 {
				t.Errorf("%s: %d requests", what, len(requests))
				continue
			}
			data := r.identity()
			if string(data[kronvoyv1alpha1.SecretTLSCertificate]) != string(requests[0].Status.Certificate) {
				t.Errorf("%s: the certificate is not that of the request", what)
			}
			for key := range data {
				if strings.HasPrefix(key, "joining") || strings.HasPrefix(key, "renewal") {
					t.Errorf("%s: %s is left", what, key)
				}
			}
		}
	}
}

// joinOnce joins until the hub knows all, and says whether the plan's crash came
// first.
func (r *registrar) joinOnce(plan *crashPlan) (crashed bool) {
	r.w.t.Helper()
	config := rest.CopyConfig(server)
	wrap := func(next http.RoundTripper) http.RoundTripper { return &crash{next: next, shared: plan} }
	config.Wrap(wrap)
	o := r.joinOptions(config)
	o.Configure = func(config *rest.Config) {
		config.QPS = -1
		config.Wrap(wrap)
	}
	joiner := join.New(o)
	ctx, cancel := context.WithTimeout(r.w.ctx, 20*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- joiner.Run(ctx) }()
	told := make(chan struct{})
	go func() {
		defer close(told)
		// That the time is up is seen below.
		_ = wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true, func(context.Context) (bool, error) {
			c := r.w.rotated()
			return c != nil && c.Status == metav1.ConditionTrue, nil
		})
	}()
	select {
	case <-plan.dead:
		crashed = true
	case <-told:
	}
	if ctx.Err() != nil {
		text, _ := r.board.Ready(r.w.ctx)
		r.w.t.Fatalf("the cluster has not joined:\n%s", text)
	}
	cancel()
	if err := <-ended; err != nil {
		r.w.t.Fatal(err)
	}
	<-told
	return crashed
}
