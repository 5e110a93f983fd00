package report

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/internal/trace"
	"github.com/kronvoy/kronvoy/spoke/metrics"
)

const (
	// writers is how many works are reported at the same time.
	writers = 4
	// writeTimeout bounds one write to a hub that does not answer.
	writeTimeout = 10 * time.Second
	// drainTimeout is how long pending reports may take when the agent stops.
	drainTimeout = 4 * time.Second
	// firstRetry and maxRetry bound the wait after a failed write.
	firstRetry = 200 * time.Millisecond
	maxRetry   = 30 * time.Second
	// A work that changes all the time is told of so often a second, after the
	// first so many writes: one cluster must not keep the hub busy.
	writesPerSecond = 5
	writesAtOnce    = 20
)

// Hub is how the writer reads and writes the hub's objects.
type Hub interface {
	// Reader reads works and reports from the agent's cache of the hub; nil
	// while the hub was never reached.
	Reader() client.Reader
	// Reports says whether the hub has WorkReports.
	Reports() bool
	// Writer writes to the hub.
	Writer() client.Client
}

// Writer writes the latest observation of every work, off the path of applying.
type Writer struct {
	hub       Hub
	namespace string
	clock     clock.Clock
	log       logr.Logger
	metrics   *metrics.Metrics
	tracer    *trace.Tracer
	queue     workqueue.TypedRateLimitingInterface[string]

	mu      sync.Mutex
	pending map[string]*Observation
	// pace bounds the writes of each work that had some of late.
	pace map[string]*rate.Limiter
	// written is what was written last, for as long as the cache is behind it.
	written map[string]written
}

type written struct {
	work          *workv1.ManifestWorkStatus
	workVersion   string
	report        *kronvoyv1alpha1.WorkReportStatus
	reportVersion string
}

// NewWriter gives a writer for the works of one cluster namespace.
func NewWriter(hub Hub, namespace string, clk clock.Clock, log logr.Logger) *Writer {
	return &Writer{
		hub: hub, namespace: namespace, clock: clk, log: log,
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](firstRetry, maxRetry)),
		pending: map[string]*Observation{},
		pace:    map[string]*rate.Limiter{},
		written: map[string]written{},
	}
}

// Measured makes w count its writes, and returns w.
func (w *Writer) Measured(m *metrics.Metrics) *Writer {
	w.metrics = m
	return w
}

// Traced makes w tell of its writes in traces, and returns w.
func (w *Writer) Traced(t *trace.Tracer) *Writer {
	w.tracer = t
	return w
}

// Report queues an observation, in place of an older one of the same work.
func (w *Writer) Report(obs *Observation) {
	w.mu.Lock()
	if older := w.pending[obs.Work]; older != nil {
		if !older.Noticed.IsZero() {
			obs.Noticed = older.Noticed
		}
		obs.Traceparent = cmp.Or(obs.Traceparent, older.Traceparent)
	}
	w.pending[obs.Work] = obs
	w.mu.Unlock()
	w.queue.Add(obs.Work)
}

// Settled says whether all that was to be told about a work is written.
func (w *Writer) Settled(work string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pending[work] == nil
}

// Start writes until the context ends, and then what is still pending.
func (w *Writer) Start(ctx context.Context) error {
	drain, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var running sync.WaitGroup
	for range writers {
		running.Go(func() {
			for w.next(drain) {
			}
		})
	}
	<-ctx.Done()
	stop := w.clock.NewTimer(drainTimeout)
	defer stop.Stop()
	go func() {
		select {
		case <-stop.C():
			cancel()
		case <-drain.Done():
		}
	}()
	w.queue.ShutDownWithDrain()
	running.Wait()
	return nil
}

func (w *Writer) next(ctx context.Context) bool {
	work, shutdown := w.queue.Get()
	if shutdown {
		return false
	}
	defer w.queue.Done(work)
	w.mu.Lock()
	obs := w.pending[work]
	w.mu.Unlock()
	if obs == nil {
		return true
	}
	if wait := w.wait(work); wait > 0 && !w.queue.ShuttingDown() {
		w.queue.AddAfter(work, wait)
		return true
	}
	bounded, cancel := context.WithTimeout(ctx, writeTimeout)
	began := w.clock.Now()
	wrote, err := w.write(bounded, obs)
	cancel()
	if err != nil && ctx.Err() == nil {
		w.log.Info("Reporting failed", "work", work, "reason", err.Error())
		w.queue.AddRateLimited(work)
		return true
	}
	if wrote {
		span := w.tracer.Start(obs.Traceparent, trace.Report, began)
		span.Set(trace.Cluster, w.namespace)
		span.Set(trace.Work, work)
		span.End(w.clock.Now(), nil)
	}
	if wrote && !obs.Noticed.IsZero() {
		w.metrics.Told(w.clock.Since(obs.Noticed))
	}
	w.queue.Forget(work)
	w.mu.Lock()
	if w.pending[work] == obs {
		delete(w.pending, work)
	}
	if obs.Done {
		delete(w.written, work)
		delete(w.pace, work)
	}
	w.mu.Unlock()
	return true
}

// wait says how long a work has to wait for its turn.
func (w *Writer) wait(work string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	limiter, now := w.pace[work], w.clock.Now()
	if limiter == nil {
		return 0
	}
	tokens := limiter.TokensAt(now)
	if tokens >= writesAtOnce {
		delete(w.pace, work)
	}
	if tokens >= 1 {
		return 0
	}
	return time.Duration((1 - tokens) / writesPerSecond * float64(time.Second))
}

// spend counts a write of a work.
func (w *Writer) spend(work string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pace[work] == nil {
		w.pace[work] = rate.NewLimiter(writesPerSecond, writesAtOnce)
	}
	w.pace[work].ReserveN(w.clock.Now(), 1)
}

// write tells the hub one observation: the report first, so that whoever sees
// the new status of the work finds the report that goes with it. wrote is false
// where the hub knew everything already.
func (w *Writer) write(ctx context.Context, obs *Observation) (wrote bool, err error) {
	reader := w.hub.Reader()
	if reader == nil {
		return false, fmt.Errorf("the hub was not reached yet")
	}
	key := client.ObjectKey{Namespace: w.namespace, Name: obs.Work}
	work := &workv1.ManifestWork{}
	err = reader.Get(ctx, key, work)
	if apierrors.IsNotFound(err) || (err == nil && obs.UID != "" && work.UID != obs.UID) {
		return false, nil // nobody is left to be told
	}
	if err != nil {
		return false, fmt.Errorf("reading work %q: %w", obs.Work, err)
	}
	if obs.Done {
		return false, w.finish(ctx, work)
	}
	status := w.statusOf(work, obs)
	if w.hub.Reports() {
		if wrote, err = w.writeReport(ctx, reader, key, obs, status != nil); err != nil {
			return wrote, err
		}
	}
	if status == nil {
		return wrote, nil
	}
	return true, w.writeStatus(ctx, work, status)
}

// writeReport writes the report of an observation if it says anything new; follows
// tells in it that the status of the work is written next.
func (w *Writer) writeReport(ctx context.Context, reader client.Reader, key client.ObjectKey, obs *Observation, follows bool) (wrote bool, err error) {
	report := &kronvoyv1alpha1.WorkReport{}
	err = reader.Get(ctx, key, report)
	if apierrors.IsNotFound(err) {
		return false, nil // the hub wants none, or has not made it yet
	}
	if err != nil {
		return false, fmt.Errorf("reading report %q: %w", obs.Work, err)
	}
	before := &report.Status
	last := w.last(obs.Work)
	if last.report != nil && newer(last.reportVersion, report.ResourceVersion) {
		before = last.report
	}
	after := reportStatus(obs, before)
	if after == nil {
		return false, nil
	}
	after.WorkStatusFollows = follows
	target := &kronvoyv1alpha1.WorkReport{}
	target.Namespace, target.Name = report.Namespace, report.Name
	err = w.patch(ctx, target, reportContent(after))
	w.metrics.Written(metrics.Report, err)
	if err != nil {
		return false, fmt.Errorf("writing report %q: %w", obs.Work, err)
	}
	w.remember(obs.Work, func(last *written) {
		last.report, last.reportVersion = &target.Status, target.ResourceVersion
	})
	return true, nil
}

// statusOf is what to write to the status of the work, nil when nothing in it is
// new.
func (w *Writer) statusOf(work *workv1.ManifestWork, obs *Observation) *workv1.ManifestWorkStatus {
	before := &work.Status
	last := w.last(obs.Work)
	if last.work != nil && newer(last.workVersion, work.ResourceVersion) {
		before = last.work
	}
	after, differs := workStatus(obs, before, w.clock.Now())
	if !differs {
		return nil
	}
	return after
}

func (w *Writer) writeStatus(ctx context.Context, work *workv1.ManifestWork, status *workv1.ManifestWorkStatus) error {
	target := &workv1.ManifestWork{}
	target.Namespace, target.Name = work.Namespace, work.Name
	err := w.patch(ctx, target, status)
	w.metrics.Written(metrics.Work, err)
	if err != nil {
		return fmt.Errorf("writing the status of work %q: %w", work.Name, err)
	}
	w.remember(work.Name, func(last *written) {
		last.work, last.workVersion = &target.Status, target.ResourceVersion
	})
	return nil
}

// finish removes the finalizer of a work of which nothing is left.
func (w *Writer) finish(ctx context.Context, work *workv1.ManifestWork) error {
	index := slices.Index(work.Finalizers, kronvoyv1alpha1.FinalizerWork)
	if index < 0 {
		return nil
	}
	content, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": work.ResourceVersion,
		"finalizers":      slices.Delete(slices.Clone(work.Finalizers), index, index+1),
	}})
	if err != nil {
		return fmt.Errorf("writing the finalizers of work %q: %w", work.Name, err)
	}
	target := &workv1.ManifestWork{}
	target.Namespace, target.Name = work.Namespace, work.Name
	err = w.hub.Writer().Patch(ctx, target, client.RawPatch(types.MergePatchType, content))
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("removing the finalizer of work %q: %w", work.Name, err)
	}
	return nil
}

func (w *Writer) patch(ctx context.Context, obj client.Object, status any) error {
	w.spend(obj.GetName())
	content, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return err
	}
	err = w.hub.Writer().Status().Patch(ctx, obj, client.RawPatch(types.MergePatchType, content))
	return client.IgnoreNotFound(err)
}

// reportContent states every field: a merge patch keeps what it does not name.
func reportContent(status *kronvoyv1alpha1.WorkReportStatus) map[string]any {
	return map[string]any{
		"observedHash": status.ObservedHash, "observedGeneration": status.ObservedGeneration,
		"values": orNull(status.Values), "selections": orNull(status.Selections), "deleting": orNull(status.Deleting), "findings": orNull(status.Findings),
		"findingCount": status.FindingCount, "corrections": status.Corrections, "workStatusFollows": status.WorkStatusFollows,
	}
}

func orNull[T any](list []T) any {
	if len(list) == 0 {
		return nil
	}
	return list
}

func (w *Writer) last(work string) written {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.written[work]
}

func (w *Writer) remember(work string, change func(*written)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := w.written[work]
	if change(&last); last == (written{}) {
		delete(w.written, work)
		return
	}
	w.written[work] = last
}

// CatchUp frees what was written of a work, as far as the cache of the hub
// shows it by now.
func (w *Writer) CatchUp(ctx context.Context, work *workv1.ManifestWork) error {
	if w.last(work.Name) == (written{}) {
		return nil
	}
	report := &kronvoyv1alpha1.WorkReport{}
	if reader := w.hub.Reader(); reader != nil && w.hub.Reports() {
		err := reader.Get(ctx, client.ObjectKeyFromObject(work), report)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("reading report %q: %w", work.Name, err)
		}
	}
	w.remember(work.Name, func(last *written) {
		if !newer(last.workVersion, work.ResourceVersion) {
			last.work, last.workVersion = nil, ""
		}
		if !newer(last.reportVersion, report.ResourceVersion) {
			last.report, last.reportVersion = nil, ""
		}
	})
	return nil
}

// newer says whether a is certainly a later version than b.
func newer(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order > 0
}
