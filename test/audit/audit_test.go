package audit_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/test/audit"
)

func TestWritesAreReadWithoutHeartbeatsAndEvents(t *testing.T) {
	const hub = `"user":{"username":"system:serviceaccount:kronvoy-system:kronvoy-hub"}`
	lines := strings.Join([]string{
		`{"verb":"create",` + hub + `,"objectRef":{"resource":"manifestworks","namespace":"a","name":"b"},"responseStatus":{"code":201}}`,
		`{"verb":"patch",` + hub + `,"requestURI":"/a?dryRun=All","objectRef":{"resource":"targets","subresource":"status"},"responseStatus":{"code":409}}`,
		`{"verb":"update",` + hub + `,"objectRef":{"resource":"leases"}}`,
		`{"verb":"create",` + hub + `,"objectRef":{"resource":"events"}}`,
		`{"verb":"create",` + hub + `,"objec`,
	}, "\n")
	dir := t.TempDir()
	log, err := audit.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "eu-west.audit.log"), []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Writes(); err != nil {
		t.Fatal(err)
	}
	got, err := log.Writes() // once more is no other
	if err != nil {
		t.Fatal(err)
	}
	const user = "system:serviceaccount:kronvoy-system:kronvoy-hub"
	want := []audit.Write{
		{Cluster: "eu-west", User: user, Verb: "create", Resource: "manifestworks", Namespace: "a", Name: "b", Code: 201},
		{Cluster: "eu-west", User: user, Verb: "patch", Resource: "targets/status", Code: 409, DryRun: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
