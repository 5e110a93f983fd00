// Package audit counts what Kronvoy's processes write, as the API servers note
// it: by user, so that what a control plane's own components write does not
// count.
package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// auditPolicy notes every request by Kronvoy's own identities, and by OCM's agent
// in the place of Kronvoy's, that changes something, once it is answered.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
  users: ["system:serviceaccount:kronvoy-system:kronvoy-hub", "system:serviceaccount:kronvoy-agent:kronvoy-agent",
    "system:serviceaccount:open-cluster-management-agent:klusterlet-work-sa"]
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
  userGroups: ["system:open-cluster-management:managed-clusters"]
- level: None
`

// Log reads what Kronvoy's processes write, as the API servers note it.
type Log struct {
	dir string

	mu    sync.Mutex
	known map[string]*known // by path
}

// New keeps its files in dir, which must outlive the API servers.
func New(dir string) (*Log, error) {
	l := &Log{dir: dir, known: map[string]*known{}}
	if err := os.WriteFile(l.policy(), []byte(auditPolicy), 0o600); err != nil {
		return nil, fmt.Errorf("writing the audit policy: %w", err)
	}
	return l, nil
}

// maxMegabytes is what a log may grow to before another is begun. None is to be.
const maxMegabytes = 10_000

func (l *Log) policy() string { return filepath.Join(l.dir, "audit-policy.yaml") }

func (l *Log) log(cluster string) string { return filepath.Join(l.dir, cluster+".audit.log") }

// Args turn auditing on in the API server of a cluster.
func (l *Log) Args(cluster string) []string {
	return []string{
		"--audit-policy-file=" + l.policy(), "--audit-log-path=" + l.log(cluster), "--audit-log-mode=blocking",
		"--audit-log-maxsize=" + strconv.Itoa(maxMegabytes),
	}
}

// Write is a request that changes something, whatever was answered.
type Write struct {
	Cluster, User, Verb, Resource, Namespace, Name string
	// Code is the HTTP status of the answer.
	Code   int
	DryRun bool
	At     time.Time
}

// String is as in "hub: kronvoy-hub update manifestworks eu-west/shop-0 (200)".
func (w Write) String() string {
	user := w.User[strings.LastIndex(w.User, ":")+1:]
	verb := w.Verb
	if w.DryRun {
		verb += " (dry run)"
	}
	return fmt.Sprintf("%s: %s %s %s %s/%s (%d)", w.Cluster, user, verb, w.Resource, w.Namespace, w.Name, w.Code)
}

// auditEvent is what is read of a line in an audit log.
type auditEvent struct {
	Verb           string    `json:"verb"`
	RequestURI     string    `json:"requestURI"`
	StageTimestamp time.Time `json:"stageTimestamp"`
	User           struct {
		Username string `json:"username"`
	} `json:"user"`
	ObjectRef struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
	} `json:"objectRef"`
	ResponseStatus struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
}

// Writes are all so far on all clusters, those of one cluster in their order,
// without heartbeats and events.
func (l *Log) Writes() ([]Write, error) {
	logs, err := filepath.Glob(l.log("*"))
	if err != nil {
		return nil, err
	}
	slices.Sort(logs)
	l.mu.Lock()
	defer l.mu.Unlock()
	var writes []Write
	for _, log := range logs {
		if l.known[log] == nil {
			l.known[log] = &known{cluster: strings.TrimSuffix(filepath.Base(log), ".audit.log")}
		}
		if err := l.known[log].readOn(log); err != nil {
			return nil, fmt.Errorf("reading the audit log %s: %w", log, err)
		}
		writes = append(writes, l.known[log].writes...)
	}
	return writes, nil
}

// known is what was read of one log: they are long, and asked for often.
type known struct {
	cluster string
	offset  int64
	writes  []Write
}

// readOn reads what has come since, up to the last whole line.
func (k *known) readOn(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if end < k.offset {
		return fmt.Errorf("it has %d bytes, and had %d", end, k.offset)
	}
	if _, err := file.Seek(k.offset, io.SeekStart); err != nil {
		return err
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	for line := range bytes.Lines(text) {
		var e auditEvent
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("%w in %q", err, line)
		}
		if e.ObjectRef.Resource == "leases" || e.ObjectRef.Resource == "events" {
			continue
		}
		resource := e.ObjectRef.Resource
		if e.ObjectRef.Subresource != "" {
			resource += "/" + e.ObjectRef.Subresource
		}
		k.writes = append(k.writes, Write{
			Cluster: k.cluster, User: e.User.Username, Verb: e.Verb, Resource: resource,
			Namespace: e.ObjectRef.Namespace, Name: e.ObjectRef.Name,
			Code: e.ResponseStatus.Code, DryRun: strings.Contains(e.RequestURI, "dryRun=All"), At: e.StageTimestamp,
		})
	}
	k.offset += int64(len(text))
	return nil
}
