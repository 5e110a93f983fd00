package cluster

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
)

// OCM looks once a minute, every 5 seconds after a failure, and believes a
// failure that lasts 20 seconds. Shorter periods keep the proportions.
const (
	retriesPerPeriod   = 12
	retriesToBelieveIt = 4
)

// maxMessage bounds what is told of an API server's answer.
const maxMessage = 512

// Reasons of the condition ManagedClusterConditionAvailable; OCM's.
const (
	reasonAvailable   = "ManagedClusterAvailable"
	reasonUnavailable = "ManagedClusterKubeAPIServerUnavailable"
)

// probe looks whether the cluster's API server is alive.
type probe struct {
	period time.Duration
	// ask gives the answer to a GET of a path; err when there was none.
	ask   func(ctx context.Context, path string) (code int, body string, err error)
	clock clock.Clock
	log   logr.Logger
	// changed is called when the verdict changes.
	changed func()

	mu      sync.Mutex
	verdict *metav1.Condition
	// failing is since when; zero while it is not.
	failing time.Time
}

// Verdict is the condition ManagedClusterConditionAvailable as the probe sees
// it; nil while it has not made up its mind.
func (p *probe) Verdict() *metav1.Condition {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.verdict
}

func (p *probe) run(ctx context.Context) {
	for {
		if !pause(ctx, p.clock, p.look(ctx)) {
			return
		}
	}
}

// look asks once, and says when to ask again.
func (p *probe) look(ctx context.Context) time.Duration {
	retry := p.period / retriesPerPeriod
	bounded, cancel := context.WithTimeout(ctx, retry)
	problem := p.check(bounded)
	cancel()
	if ctx.Err() != nil {
		return retry
	}
	if p.judge(problem) {
		p.changed()
	}
	if problem != "" {
		return retry
	}
	return p.period
}

// judge takes in an answer, and says whether that changes the verdict. One good
// answer is believed at once.
func (p *probe) judge(problem string) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	verdict := &metav1.Condition{
		Type: clusterv1.ManagedClusterConditionAvailable, Status: metav1.ConditionTrue,
		Reason: reasonAvailable, Message: "the cluster's API server is alive",
	}
	if problem == "" {
		p.failing = time.Time{}
	} else {
		if p.failing.IsZero() {
			p.failing = now
			p.log.Info("The cluster's API server does not answer as it should", "reason", problem)
		}
		if now.Sub(p.failing) < retriesToBelieveIt*p.period/retriesPerPeriod {
			return false
		}
		verdict.Status, verdict.Reason, verdict.Message = metav1.ConditionFalse, reasonUnavailable, problem
	}
	if p.verdict != nil && p.verdict.Status == verdict.Status {
		return false // what is wrong in detail may differ from answer to answer
	}
	p.verdict = verdict
	p.log.Info("The verdict on the cluster's API server changed", "available", verdict.Status, "reason", verdict.Message)
	return true
}

// check says what is wrong. Where /livez is not served, or not to this agent,
// /healthz is asked (OCM).
func (p *probe) check(ctx context.Context) string {
	path := "/livez"
	code, body, err := p.ask(ctx, path)
	if err == nil && (code == http.StatusNotFound || code == http.StatusForbidden) {
		path = "/healthz"
		code, body, err = p.ask(ctx, path)
	}
	switch {
	case err != nil:
		return shorten(fmt.Sprintf("the cluster's API server cannot be reached: %v", err))
	case code != http.StatusOK:
		return shorten(fmt.Sprintf("%s of the cluster's API server answers %d: %s", path, code, strings.TrimSpace(body)))
	}
	return ""
}

func shorten(text string) string {
	text = strings.ToValidUTF8(text, "")
	if len(text) <= maxMessage {
		return text
	}
	cut := maxMessage - len("…")
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// asking asks an API server, with its connection and rights.
func asking(c rest.Interface) func(context.Context, string) (int, string, error) {
	return func(ctx context.Context, path string) (code int, body string, err error) {
		// A client's own retries would hide what a probe looks for.
		result := c.Get().AbsPath(path).MaxRetries(0).Do(ctx).StatusCode(&code)
		raw, err := result.Raw()
		if code != 0 {
			err = nil // an answer that says no is an answer
		}
		return code, string(raw), err
	}
}
