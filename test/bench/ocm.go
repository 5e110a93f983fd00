package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"

	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/ocm"
)

const (
	// atOnce is how many objects are changed at the same moment, and each
	// waited for: OCM's agent looks at statuses every 10 to 19 seconds, and puts
	// drift right every four to six minutes.
	atOnce = 20
	// ocmPatience is how long that may take.
	ocmPatience = 8 * time.Minute
)

// peerAgent is OCM's own work agent, with works of the same objects on another
// cluster of the same fleet.
type peerAgent struct {
	options              options
	process              *fleet.Process
	works, widgets, maps dynamic.ResourceInterface
}

// ocmFigures are those of OCM's agent.
type ocmFigures struct {
	rss               float64
	feedback, correct time.Duration
}

// beside puts them beside ours.
func (f ocmFigures) beside(results []Result) {
	for i := range results {
		r := &results[i]
		var theirs float64
		switch r.Name {
		case "agent-rss-mib-100-works":
			theirs = f.rss
			r.What += ". The peer is OCM's work agent with the same objects"
		case "feedback-latency-ms":
			theirs = milli(f.feedback)
			r.What += ". The peer is OCM's work agent, to the status of its work"
		case "drift-correct-ms":
			theirs = milli(f.correct)
			r.What += ". The peer is OCM's work agent"
		default:
			continue
		}
		ratio := r.Value / theirs
		r.Peer, r.Ratio = &theirs, &ratio
	}
}

// ocm measures OCM's agent beside ours, which rests meanwhile.
func (a *agent) ocm(ctx context.Context) (figures ocmFigures, err error) {
	cluster, err := a.Fleet.AddSpoke(ctx, fleet.ClusterOptions{Name: "us-east", Region: "us-east"})
	if err != nil {
		return figures, err
	}
	onHub, err := a.Identify(ctx, cluster, ocm.Namespace)
	if err != nil {
		return figures, err
	}
	namespace := object("{apiVersion: v1, kind: Namespace, metadata: {name: " + benchNamespace + "}}")
	if err := cluster.ApplyObjects(ctx, object(widgetYAML[0]), object(widgetYAML[1]), namespace); err != nil {
		return figures, err
	}
	process, err := ocm.Start(ctx, a.Fleet, cluster, onHub, a.Config("ocm", "spoke"), a.options.progress)
	if err != nil {
		return figures, fmt.Errorf("starting OCM's agent: %w", err)
	}
	defer func() { err = errors.Join(err, process.Stop(context.WithoutCancel(ctx))) }()
	hub, err := unlimited(a.Fleet.Hub())
	if err != nil {
		return figures, err
	}
	spoke, err := unlimited(cluster)
	if err != nil {
		return figures, err
	}
	p := &peerAgent{
		options: a.options, process: process,
		works: hub.Resource(schema.GroupVersionResource{Group: "work.open-cluster-management.io", Version: "v1", Resource: "manifestworks"}).Namespace(cluster.Name),
		maps:  spoke.Resource(mapsResource).Namespace(benchNamespace), widgets: spoke.Resource(widgetsResource).Namespace(benchNamespace),
	}
	if err := p.fill(ctx); err != nil {
		return figures, err
	}
	if figures.rss, err = p.memory(ctx); err != nil {
		return figures, err
	}
	if figures.feedback, err = p.feedback(ctx); err != nil {
		return figures, err
	}
	figures.correct, err = p.correct(ctx)
	return figures, err
}

// fill makes the works that the hub would make of the crowd.
func (p *peerAgent) fill(ctx context.Context) error {
	p.options.say("OCM's agent: %d works with %d objects each", crowd, few)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(appliers)
	for i := range crowd {
		group.Go(func() error {
			_, err := p.works.Create(groupCtx, crowdWork(crowdName(i)), metav1.CreateOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("creating works: %w", err)
	}
	applied := 0
	err := wait.PollUntilContextTimeout(ctx, time.Second, patience, true, func(ctx context.Context) (bool, error) {
		works, err := p.works.List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		applied = 0
		for i := range works.Items {
			if manifests, _, _ := unstructured.NestedSlice(works.Items[i].Object, "status", "resourceStatus", "manifests"); len(manifests) == few {
				applied++
			}
		}
		return applied == crowd, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for %d works, of which %d are applied: %w; the log of OCM's agent is %s", crowd, applied, err, p.process.Log())
	}
	return nil
}

// crowdWork is a Widget, whose status is fed back, and ConfigMaps.
func crowdWork(name string) *unstructured.Unstructured {
	manifests := []any{object(`{apiVersion: bench.example/v1, kind: Widget, metadata: {name: ` + name + `, namespace: bench}, spec: {text: as the hub says}}`).Object}
	for part := range few - 1 {
		manifests = append(manifests, object(fmt.Sprintf(
			`{apiVersion: v1, kind: ConfigMap, metadata: {name: %s-%s, namespace: bench}, data: {part: %s, text: as the hub says}}`,
			name, partName(part), partName(part))).Object)
	}
	work := object(`{apiVersion: work.open-cluster-management.io/v1, kind: ManifestWork, metadata: {name: ` + name + `}, spec: {manifestConfigs: [
		{resourceIdentifier: {group: bench.example, resource: widgets, namespace: bench, name: ` + name + `},
		 feedbackRules: [{type: JSONPaths, jsonPaths: [{name: ready, path: .status.ready}]}],
		 updateStrategy: {type: ServerSideApply, serverSideApply: {force: true}}},
		{resourceIdentifier: {resource: configmaps, namespace: bench, name: "*"},
		 updateStrategy: {type: ServerSideApply, serverSideApply: {force: true}}}]}}`)
	spec, _ := work.Object["spec"].(map[string]any)
	spec["workload"] = map[string]any{"manifests": manifests}
	return work
}

// memory is the highest resident memory of the agent at rest, in MiB.
func (p *peerAgent) memory(ctx context.Context) (float64, error) {
	p.options.say("watching OCM's agent for %s", p.options.idle)
	w := observe(p.process)
	ctx, cancel := context.WithTimeout(ctx, p.options.idle)
	defer cancel()
	err := wait.PollUntilContextCancel(ctx, sampling, true, func(context.Context) (bool, error) { return false, w.look() })
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return 0, fmt.Errorf("watching OCM's agent: %w", err)
	}
	return w.rss, nil
}

// feedback takes the time from a change of a status to the status of its work.
func (p *peerAgent) feedback(ctx context.Context) (time.Duration, error) {
	const count = 7
	return p.latency(ctx, "statuses to come back", func(ctx context.Context, i int) error {
		patch := fmt.Appendf(nil, `{"status":{"ready":%d}}`, count)
		_, err := p.widgets.Patch(ctx, crowdName(i), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "somebody"}, "status")
		return err
	}, p.works, func(i int, work *unstructured.Unstructured) bool {
		if work.GetName() != crowdName(i) {
			return false
		}
		text, err := json.Marshal(work.Object["status"])
		return err == nil && slices.Contains(feedbackValues(text), count)
	})
}

// feedbackValues are the integers that came back in the status of a work.
func feedbackValues(status []byte) []int64 {
	var content struct {
		ResourceStatus struct {
			Manifests []struct {
				StatusFeedback struct {
					Values []struct {
						FieldValue struct {
							Integer *int64 `json:"integer"`
						} `json:"fieldValue"`
					} `json:"values"`
				} `json:"statusFeedback"`
			} `json:"manifests"`
		} `json:"resourceStatus"`
	}
	if json.Unmarshal(status, &content) != nil {
		return nil
	}
	var values []int64
	for _, manifest := range content.ResourceStatus.Manifests {
		for _, value := range manifest.StatusFeedback.Values {
			if value.FieldValue.Integer != nil {
				values = append(values, *value.FieldValue.Integer)
			}
		}
	}
	return values
}

// correct takes the time from a change of a ConfigMap until it is undone.
func (p *peerAgent) correct(ctx context.Context) (time.Duration, error) {
	name := func(i int) string { return crowdName(i) + "-" + partName(0) }
	changed := make([]string, atOnce)
	return p.latency(ctx, "drift to be put right", func(ctx context.Context, i int) error {
		obj, err := p.maps.Patch(ctx, name(i), types.MergePatchType, []byte(`{"data":{"text":"as somebody says"}}`), metav1.PatchOptions{FieldManager: "somebody"})
		if err != nil {
			return err
		}
		changed[i] = obj.GetResourceVersion()
		return nil
	}, p.maps, func(i int, u *unstructured.Unstructured) bool {
		text, _, _ := unstructured.NestedString(u.Object, "data", "text")
		return u.GetName() == name(i) && text == "as the hub says" && u.GetResourceVersion() != changed[i]
	})
}

// latency changes several objects at once and gives the median of the times
// until each of them has had its effect.
func (p *peerAgent) latency(
	ctx context.Context, what string, change func(context.Context, int) error,
	where dynamic.ResourceInterface, done func(int, *unstructured.Unstructured) bool,
) (time.Duration, error) {
	p.options.say("OCM's agent: waiting for %s", what)
	effects, err := follow(ctx, where)
	if err != nil {
		return 0, err
	}
	defer effects.stop()
	begins, times := make([]time.Time, atOnce), make([]time.Duration, atOnce)
	for i := range atOnce {
		begins[i] = time.Now()
		if err := change(ctx, i); err != nil {
			return 0, fmt.Errorf("changing an object: %w", err)
		}
	}
	left := atOnce
	err = effects.within(ctx, ocmPatience, what, func(u *unstructured.Unstructured) bool {
		for i := range atOnce {
			if times[i] == 0 && done(i, u) {
				times[i] = time.Since(begins[i])
				left--
			}
		}
		return left == 0
	})
	if err != nil {
		return 0, err
	}
	return median(times), nil
}
