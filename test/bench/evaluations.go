package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
)

// entranceYAML is ready once its Service has an address, which is a value of its
// status too.
const entranceYAML = `
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: entrance}
spec:
  schema:
    apiVersion: v1alpha1
    kind: Entrance
    spec: {port: integer | default=80}
    status: {address: "${service.status.loadBalancer.ingress[0].ip}"}
  resources:
  - id: service
    readyWhen: ["${service.status.?loadBalancer.?ingress.orValue([]).size() > 0}"]
    template:
      apiVersion: v1
      kind: Service
      metadata: {name: "${schema.metadata.name}"}
      spec: {type: LoadBalancer, ports: [{port: "${schema.spec.port}"}]}
`

const entranceCluster = "eu-west"

// evaluations counts what changes of an object's status on a cluster cost the hub.
func (s *system) evaluations(ctx context.Context) ([]Result, error) {
	if err := s.Fleet.Hub().ApplyObjects(ctx, append(benchObjects(), object(entranceYAML))...); err != nil {
		return nil, err
	}
	if err := s.served(ctx, "entrances"); err != nil {
		return nil, err
	}
	if err := s.apply(ctx, "entrances", object(`{apiVersion: kro.run/v1alpha1, kind: Entrance,
		metadata: {name: gate, namespace: bench, labels: {kronvoy.io/placement: one}}, spec: {}}`)); err != nil {
		return nil, err
	}
	config, err := s.Fleet.Cluster(entranceCluster).RESTConfig()
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of the cluster: %w", err)
	}
	services := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "services"}).Namespace(benchNamespace)
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		_, err := services.Get(ctx, "gate", metav1.GetOptions{})
		return err == nil, nil
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for Service gate on cluster %s: %w", entranceCluster, err)
	}
	change := func(ip string) error {
		patch := []byte(`{"status":{"loadBalancer":{"ingress":[{"ip":"` + ip + `"}]}}}`)
		if _, err := services.Patch(ctx, "gate", types.MergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
			return fmt.Errorf("changing the status of a Service: %w", err)
		}
		if err := s.ready(ctx, "entrances", benchNamespace, "gate", 1); err != nil {
			return err
		}
		_, err := s.quiet(ctx, settled)
		return err
	}
	if err := change("192.0.2.1"); err != nil {
		return nil, err
	}
	before, err := s.evaluated(ctx, "Entrance.kro.run")
	if err != nil {
		return nil, err
	}
	changes := s.options.rounds
	for i := range changes {
		if err := change(fmt.Sprintf("192.0.2.%d", 2+i)); err != nil {
			return nil, err
		}
	}
	after, err := s.evaluated(ctx, "Entrance.kro.run")
	if err != nil {
		return nil, err
	}
	s.options.say("%d changes of a status on a cluster took %g evaluations", changes, after-before)
	return []Result{{Name: "evaluations-per-status-change", Value: (after - before) / float64(changes), Unit: "", Target: 1, Reach: true,
		What: fmt.Sprintf("evaluations on the hub for a change of an object's status on a cluster, of which the hub reads a value, until all is quiet; mean of %d. "+
			"One after which the instance is not ready is evaluated once more, a quarter of a second later, before that is told", changes)}}, nil
}

// evaluated is how many evaluations of a kind the hub has made.
func (s *system) evaluated(ctx context.Context, kind string) (_ float64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.metrics+"/metrics", nil)
	if err != nil {
		return 0, fmt.Errorf("asking the hub for its metrics: %w", err)
	}
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("asking the hub for its metrics: %w", err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return 0, fmt.Errorf("reading the hub's metrics: %w", err)
	}
	sum := 0.0
	for _, m := range families["kronvoy_evaluations_total"].GetMetric() {
		if slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == "kind" && l.GetValue() == kind }) {
			sum += m.GetCounter().GetValue()
		}
	}
	if sum == 0 {
		return 0, fmt.Errorf("the hub counts no evaluation of kind %s; its log is %s", kind, s.Hub.Log())
	}
	return sum, nil
}

// freeAddress of this machine; somebody else may take it before it is used.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}
