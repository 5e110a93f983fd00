package fleet

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"path"
	"strconv"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The bounds of one transaction: etcd takes 128 operations and 1.5 MiB.
const (
	putOperations = 100
	putBytes      = 512 << 10
	putAtOnce     = 8
)

// put is one operation of etcd's JSON API.
type put struct {
	Put struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	} `json:"requestPut"`
}

// Put writes custom resources into etcd as the API server stores them, a hundred
// in one transaction: thousands of clusters are there in seconds. Nothing checks
// or completes them, so they are copies of objects that the API server made; its
// watchers see them come. The cluster is one that was never restored.
func (c *Cluster) Put(ctx context.Context, resource schema.GroupResource, objects iter.Seq[*unstructured.Unstructured]) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(putAtOnce)
	var batch []put
	size := 0
	send := func() {
		sent := batch
		group.Go(func() error { return c.fleet.commit(ctx, sent) })
		batch, size = nil, 0
	}
	for o := range objects {
		text, err := json.Marshal(o)
		if err != nil {
			return fmt.Errorf("encoding %s %s: %w", resource, o.GetName(), err)
		}
		var next put
		next.Put.Key = base64.StdEncoding.EncodeToString([]byte(path.Join("/", c.Name, resource.Group, resource.Resource, o.GetNamespace(), o.GetName())))
		next.Put.Value = base64.StdEncoding.EncodeToString(text)
		if len(batch) == putOperations || size+len(text) > putBytes {
			send()
		}
		batch, size = append(batch, next), size+len(text)
	}
	if len(batch) > 0 {
		send()
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("writing %s into etcd: %w", resource, err)
	}
	return nil
}

// commit writes all of it or nothing.
func (f *Fleet) commit(ctx context.Context, puts []put) error {
	body, err := json.Marshal(map[string]any{"success": puts})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1:"+strconv.Itoa(f.etcdPort())+"/v3/kv/txn", bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK || !bytes.Contains(said, []byte(`"succeeded":true`)) {
		return fmt.Errorf("etcd answers %s: %s", answer.Status, said)
	}
	return nil
}
