// Package keep holds what an agent is to know after a restart: the last known
// works, so that it goes on enforcing them while the hub cannot be reached, and
// the baselines, so that it can tell what was ours from what was others' when a
// field changed hands and the manifest changed while nobody looked.
//
// One Secret per work in the agent's own namespace (works carry Secrets),
// compressed, written behind and only when its content differs. Losing one
// costs reads, never objects.
package keep

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/drift"
)

const (
	// labelHub on a kept Secret is the short hash of the hub it is about.
	labelHub = "kronvoy.io/kept-for-hub"
	// annotationWork names the work.
	annotationWork = "kronvoy.io/work"
	secretType     = "kronvoy.io/kept-work"
	dataKey        = "state"
	// maxSize is what fits into a Secret, with room to spare; a larger state is
	// not kept.
	maxSize = 1000 << 10
)

// State is what is kept of one work.
type State struct {
	Work *workv1.ManifestWork `json:"work"`
	// Objects by key, as written by the applier.
	Objects map[string]Object `json:"objects,omitempty"`
}

// Object is what is kept of one applied object.
type Object struct {
	UID      types.UID       `json:"uid"`
	Applied  string          `json:"applied"`
	Baseline *drift.Baseline `json:"baseline,omitempty"`
	// Complete is set once the object was complete: it is not made again.
	Complete bool `json:"complete,omitempty"`
}

// Keeper reads and writes the kept states. A nil Keeper keeps nothing.
type Keeper struct {
	client    client.Client
	reader    client.Reader
	namespace string
	hubHash   string
	delay     time.Duration
	clock     clock.Clock
	log       logr.Logger

	mu     sync.Mutex
	loaded bool
	// found are the Secrets' contents until somebody takes them.
	found map[string][]byte
	works map[string]progress
}

// progress is how far a work's state is kept.
type progress struct {
	// digest of what is stored; empty when nothing is.
	digest string
	// stamp of what was last compared with it.
	stamp string
	// waiting is the stamp that waits to be saved, since when.
	waiting string
	since   time.Time
	// objects are those of the stored state, by key; checked is the generation
	// that they were last compared with.
	objects map[string]bool
	checked int64
}

// New gives a keeper for one hub's works; nil without a namespace.
func New(c client.Client, reader client.Reader, namespace, hubHash string, delay time.Duration, clk clock.Clock, log logr.Logger) *Keeper {
	if namespace == "" {
		return nil
	}
	return &Keeper{
		client: c, reader: reader, namespace: namespace, hubHash: hubHash, delay: delay, clock: clk, log: log,
		found: map[string][]byte{}, works: map[string]progress{},
	}
}

// Load reads what an earlier process kept, once.
func (k *Keeper) Load(ctx context.Context) error {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.loaded {
		return nil
	}
	list := &corev1.SecretList{}
	if err := k.reader.List(ctx, list, client.InNamespace(k.namespace), client.MatchingLabels{labelHub: k.hub()}); err != nil {
		return fmt.Errorf("reading the kept states in namespace %q: %w", k.namespace, err)
	}
	for i := range list.Items {
		secret := &list.Items[i]
		work := secret.Annotations[annotationWork]
		if work == "" || len(secret.Data[dataKey]) == 0 {
			continue
		}
		k.found[work] = secret.Data[dataKey]
		k.works[work] = progress{digest: digestOf(secret.Data[dataKey])}
	}
	k.loaded = true
	return nil
}

// Peek gives the kept state of a work; nil when there is none that can be read.
func (k *Keeper) Peek(work string) *State {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	content := k.found[work]
	k.mu.Unlock()
	if content == nil {
		return nil
	}
	state, err := decode(content)
	if err != nil {
		k.log.Info("A kept state cannot be read", "work", work, "reason", err.Error())
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.works[work]
	p.objects = keysOf(state)
	k.works[work] = p
	return state
}

// Outdate drops what is kept of a work if it names an object that the work, as
// it is now, has not. It is to be called before any object is taken away: a
// state is kept some time after it changed, and a successor that does not reach
// the hub would make the object again.
func (k *Keeper) Outdate(ctx context.Context, work string, generation int64, wanted func() map[string]bool) error {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	p := k.works[work]
	outdated := false
	if p.checked != generation && len(p.objects) > 0 {
		now := wanted()
		for key := range p.objects {
			outdated = outdated || !now[key]
		}
	}
	if p.digest != "" {
		p.checked = generation
		k.works[work] = p
	}
	k.mu.Unlock()
	if !outdated {
		return nil
	}
	return k.Delete(ctx, work)
}

// Release frees the kept state of a work whose newer one is known.
func (k *Keeper) Release(work string) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.found, work)
}

// Due says whether a state with this stamp is to be saved now, or when; zero
// and false means that it is kept.
func (k *Keeper) Due(work, stamp string) (bool, time.Duration) {
	if k == nil {
		return false, 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.works[work]
	if p.stamp == stamp {
		return false, 0
	}
	now := k.clock.Now()
	if p.waiting != stamp {
		p.waiting, p.since = stamp, now
		k.works[work] = p
	}
	wait := p.since.Add(k.delay).Sub(now)
	return wait <= 0, max(0, wait)
}

// Save writes a state unless it is what is stored.
func (k *Keeper) Save(ctx context.Context, stamp string, state *State) error {
	work := state.Work.Name
	content, err := encode(state)
	if err != nil {
		return fmt.Errorf("keeping the state of work %q: %w", work, err)
	}
	k.mu.Lock()
	p := k.works[work]
	k.mu.Unlock()
	digest := digestOf(content)
	switch {
	case digest == p.digest:
	case len(content) > maxSize:
		k.log.Info("A work is too large to be kept", "work", work, "reason", "TooLarge", "bytes", len(content))
	default:
		if err := k.write(ctx, work, content, p.digest != ""); err != nil {
			return err
		}
		p.digest, p.objects, p.checked = digest, keysOf(state), state.Work.Generation
	}
	p.stamp, p.waiting = stamp, ""
	k.mu.Lock()
	k.works[work] = p
	k.mu.Unlock()
	return nil
}

// Delete drops what is kept of a work.
func (k *Keeper) Delete(ctx context.Context, work string) error {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	stored := k.works[work].digest != ""
	k.mu.Unlock()
	if stored {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: k.namespace, Name: k.secretName(work)}}
		if err := k.client.Delete(ctx, secret); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("dropping the kept state of work %q: %w", work, err)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.works, work)
	delete(k.found, work)
	return nil
}

// write creates or replaces the Secret; stored says which is likely.
func (k *Keeper) write(ctx context.Context, work string, content []byte, stored bool) error {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: k.namespace, Name: k.secretName(work),
			Labels: map[string]string{labelHub: k.hub()}, Annotations: map[string]string{annotationWork: work},
		},
		Type: secretType,
		Data: map[string][]byte{dataKey: content},
	}
	var err error
	if !stored {
		if err = k.client.Create(ctx, secret); err == nil {
			return nil
		}
	}
	if stored || apierrors.IsAlreadyExists(err) {
		err = k.replace(ctx, secret)
	}
	if stored && apierrors.IsNotFound(err) {
		err = k.client.Create(ctx, secret)
	}
	if err != nil {
		return fmt.Errorf("keeping the state of work %q: %w", work, err)
	}
	return nil
}

func (k *Keeper) replace(ctx context.Context, secret *corev1.Secret) error {
	patch, err := json.Marshal(map[string]any{"data": secret.Data})
	if err != nil {
		return err
	}
	return k.client.Patch(ctx, secret.DeepCopy(), client.RawPatch(types.MergePatchType, patch))
}

// hub is as much of the hub's hash as fits into a label.
func (k *Keeper) hub() string { return k.hubHash[:min(16, len(k.hubHash))] }

// secretName is that of the work's AppliedManifestWork, where it is not too
// long.
func (k *Keeper) secretName(work string) string {
	const longest = 253
	name := k.hubHash + "-" + work
	if len(name) <= longest {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return "kept-" + hex.EncodeToString(sum[:10])
}

// Slim gives as much of a work as enforcing it needs.
func Slim(work *workv1.ManifestWork) *workv1.ManifestWork {
	slim := &workv1.ManifestWork{Spec: work.Spec}
	slim.Namespace, slim.Name, slim.UID, slim.Generation = work.Namespace, work.Name, work.UID, work.Generation
	slim.Annotations = map[string]string{}
	for _, name := range []string{
		kronvoyv1alpha1.AnnotationHash, kronvoyv1alpha1.AnnotationManifestPolicies,
		kronvoyv1alpha1.AnnotationObserve, kronvoyv1alpha1.AnnotationShrunk, kronvoyv1alpha1.AnnotationReconcile,
	} {
		if value, ok := work.Annotations[name]; ok {
			slim.Annotations[name] = value
		}
	}
	return slim
}

func keysOf(state *State) map[string]bool {
	keys := make(map[string]bool, len(state.Objects))
	for key := range state.Objects {
		keys[key] = true
	}
	return keys
}

func encode(state *State) ([]byte, error) {
	var compressed bytes.Buffer
	w, err := flate.NewWriter(&compressed, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(w).Encode(state); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return compressed.Bytes(), nil
}

func decode(content []byte) (*State, error) {
	const maxPlain = 16 << 20 // what an honest Secret can never unpack to
	state := &State{}
	r := flate.NewReader(bytes.NewReader(content))
	if err := json.NewDecoder(io.LimitReader(r, maxPlain)).Decode(state); err != nil {
		return nil, err
	}
	if state.Work == nil {
		return nil, fmt.Errorf("it names no work")
	}
	return state, r.Close()
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return string(sum[:])
}
