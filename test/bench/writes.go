package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kronvoy/kronvoy/test/fleet"
)

// auditPolicy notes every request that changes something, once it is answered.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    verbs: [create, update, patch, delete, deletecollection]
`

const auditSuffix = ".audit.log"

// audit counts what Kronvoy's processes write, at the API servers.
type audit struct {
	dir string
}

func newAudit(dir string) (audit, error) {
	a := audit{dir: dir}
	if err := os.WriteFile(a.policy(), []byte(auditPolicy), 0o600); err != nil {
		return a, fmt.Errorf("writing the audit policy: %w", err)
	}
	return a, nil
}

func (a audit) policy() string { return filepath.Join(a.dir, "audit-policy.yaml") }

func (a audit) log(cluster string) string { return filepath.Join(a.dir, cluster+auditSuffix) }

// args turn auditing on in the API server of a cluster.
func (a audit) args(cluster string) []string {
	return []string{"--audit-policy-file=" + a.policy(), "--audit-log-path=" + a.log(cluster), "--audit-log-mode=blocking"}
}

// write is a request that Kronvoy made.
type write struct {
	process, server, verb, resource string
}

// String is as in "hub on hub: update manifestworks".
func (w write) String() string {
	return w.process + " on " + w.server + ": " + w.verb + " " + w.resource
}

func (w write) onHub() bool { return w.server == fleet.HubName }

// auditEvent is what is read of a line in an audit log.
type auditEvent struct {
	Verb       string `json:"verb"`
	RequestURI string `json:"requestURI"`
	User       struct {
		Username string `json:"username"`
	} `json:"user"`
	ObjectRef struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
	} `json:"objectRef"`
}

// write returns what counts of an event: a request by the hub or an agent that
// changes something, whatever was answered. Heartbeats are left out, and events,
// which say something about a change and are none; dry runs count.
func (e auditEvent) write(server string) (write, bool) {
	process, ours := processOf(e.User.Username)
	if !ours || e.ObjectRef.Resource == "leases" || e.ObjectRef.Resource == "events" {
		return write{}, false
	}
	resource := e.ObjectRef.Resource
	if e.ObjectRef.Subresource != "" {
		resource += "/" + e.ObjectRef.Subresource
	}
	verb := e.Verb
	if strings.Contains(e.RequestURI, "dryRun=All") {
		verb += " (dry run)"
	}
	return write{process: process, server: server, verb: verb, resource: resource}, true
}

// processOf says which of Kronvoy's processes has this user's name.
func processOf(user string) (string, bool) {
	switch {
	case user == "system:serviceaccount:kronvoy-system:kronvoy-hub":
		return "hub", true
	case user == "system:serviceaccount:kronvoy-agent:kronvoy-agent",
		strings.HasPrefix(user, "system:open-cluster-management:"):
		return "agent", true
	}
	return "", false
}

// writes are all so far, on all clusters, those of one cluster in their order.
func (a audit) writes() ([]write, error) {
	logs, err := filepath.Glob(a.log("*"))
	if err != nil {
		return nil, err
	}
	slices.Sort(logs)
	var writes []write
	for _, log := range logs {
		found, err := readWrites(log, strings.TrimSuffix(filepath.Base(log), auditSuffix))
		if err != nil {
			return nil, fmt.Errorf("reading the audit log %s: %w", log, err)
		}
		writes = append(writes, found...)
	}
	return writes, nil
}

func readWrites(path, server string) ([]write, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	var writes []write
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event auditEvent
		if json.Unmarshal(lines.Bytes(), &event) != nil {
			continue // the last line may be half written
		}
		if w, counts := event.write(server); counts {
			writes = append(writes, w)
		}
	}
	return writes, lines.Err()
}

// quiet waits until nothing was written for that long, and returns all writes.
func (a audit) quiet(ctx context.Context, long time.Duration) ([]write, error) {
	var last []write
	since := time.Now()
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, 2*time.Minute, true, func(context.Context) (bool, error) {
		now, err := a.writes()
		if err != nil {
			return false, err
		}
		if len(now) != len(last) {
			last, since = now, time.Now()
		}
		return time.Since(since) >= long, nil
	})
	if err != nil {
		return nil, fmt.Errorf("waiting until Kronvoy writes nothing for %s: %w; it has written %s", long, err, tally(last))
	}
	return last, nil
}

// minus are the writes in all that are not in before, which all contains.
func minus(all, before []write) []write {
	left := map[write]int{}
	for _, w := range before {
		left[w]++
	}
	var rest []write
	for _, w := range all {
		if left[w] > 0 {
			left[w]--
			continue
		}
		rest = append(rest, w)
	}
	return rest
}

// tally is as in "hub on hub: create manifestworks × 3, …", sorted.
func tally(writes []write) string {
	count := map[string]int{}
	for _, w := range writes {
		count[w.String()]++
	}
	parts := make([]string, 0, len(count))
	for text, n := range count {
		parts = append(parts, fmt.Sprintf("%s × %d", text, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
