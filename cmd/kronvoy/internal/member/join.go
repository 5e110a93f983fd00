// Package member brings clusters into a fleet and out of it, from the clusters'
// side: it installs the agent, watches it join, and takes it away again.
package member

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/internal/install"
	"github.com/kronvoy/kronvoy/spoke/join"
)

// look is how often a join is looked at.
const look = 500 * time.Millisecond

// Joining is one cluster's way into a fleet.
type Joining struct {
	// Cluster is the cluster itself, with an administrator's rights.
	Cluster client.Client
	Agent   install.Agent
	// Force lets the cluster leave the hub that it has joined for another one.
	Force bool
	// Progress is told what happens.
	Progress io.Writer
}

// Joined says what has been reached.
type Joined struct {
	Cluster string `json:"cluster"`
	Hub     string `json:"hub"`
	// Steps that are done, in order.
	Steps []string `json:"steps"`
	// Joined is whether the agent serves the hub; CertificateUntil is when it has
	// to have renewed its certificate.
	Joined           bool       `json:"joined"`
	CertificateUntil *time.Time `json:"certificateUntil,omitempty"`
}

// Install brings the agent's manifests and its bootstrap to the cluster.
func (j *Joining) Install(ctx context.Context) (*join.Bootstrap, error) {
	bootstrap, err := join.ReadBootstrap(j.Agent.Bootstrap)
	if err != nil {
		return nil, fmt.Errorf("reading the bootstrap kubeconfig: %w; it is what `kronvoy hub token --cluster NAME` prints", err)
	}
	if err := j.mayJoin(ctx, bootstrap); err != nil {
		return nil, err
	}
	objects, err := j.Agent.Objects()
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(j.Progress, "installing the agent of %s in namespace %s\n", bootstrap.Cluster, install.AgentNamespace)
	return bootstrap, install.Apply(ctx, j.Cluster, objects...)
}

// mayJoin keeps a cluster from changing hubs or names by accident: what the
// hub before has applied would be evicted.
func (j *Joining) mayJoin(ctx context.Context, to *join.Bootstrap) error {
	now, err := j.identity(ctx)
	if err != nil || now == nil || j.Force || now.Cluster == to.Cluster && now.Server == to.Server {
		return err
	}
	return fmt.Errorf("the cluster has joined the hub %s as %q, and is asked to join %s as %q: take it out with `kronvoy unjoin` first, or say --force",
		now.Server, now.Cluster, to.Server, to.Cluster)
}

// Image is what the agent that is installed runs; empty where none is.
func Image(ctx context.Context, cluster client.Client) (string, error) {
	d := &appsv1.Deployment{}
	err := cluster.Get(ctx, client.ObjectKey{Namespace: install.AgentNamespace, Name: install.AgentDeployment}, d)
	if client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("looking for the agent's Deployment: %w", err)
	}
	for _, container := range d.Spec.Template.Spec.Containers {
		return container.Image, nil
	}
	return "", nil
}

func (j *Joining) identity(ctx context.Context) (*join.Joined, error) {
	secret, err := j.hubSecret(ctx)
	if err != nil || secret == nil {
		return nil, err
	}
	return join.ReadJoined(secret)
}

// hubSecret is the agent's own Secret; nil before there is one.
func (j *Joining) hubSecret(ctx context.Context) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := j.Cluster.Get(ctx, client.ObjectKey{Namespace: install.AgentNamespace, Name: kronvoyv1alpha1.HubSecret}, secret)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s/%s: %w", install.AgentNamespace, kronvoyv1alpha1.HubSecret, err)
	}
	return secret, nil
}

// Wait follows the agent until it serves the hub, or ctx ends. Without a
// Deployment it is done when the agent has its certificate.
func (j *Joining) Wait(ctx context.Context, to *join.Bootstrap) (*Joined, error) {
	config := rest.CopyConfig(to.Config)
	config.QPS = -1 // the API server's own fairness bounds it
	hub, err := join.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of the hub: %w", err)
	}
	j.say("waiting for the agent to join %s; Ctrl-C stops waiting, not the agent", to.Server)
	result := &Joined{Cluster: to.Cluster, Hub: to.Server, Steps: []string{}}
	var missing, told string
	err = wait.PollUntilContextCancel(ctx, look, true, func(ctx context.Context) (bool, error) {
		steps, lacks, err := j.reached(ctx, hub, to, result)
		if err = errors.Join(err, ctx.Err()); err != nil {
			return false, err // what was missing before is the reason, not the end of the wait
		}
		for _, step := range steps[min(len(steps), len(result.Steps)):] {
			j.say("  %s", step)
		}
		if len(steps) > len(result.Steps) {
			result.Steps = steps
		}
		missing = lacks
		if says, err := j.agentSays(ctx); err != nil {
			return false, err
		} else if says != "" && says != told {
			told = says
			j.say("  the agent says: %s", says)
		}
		return lacks == "", nil
	})
	if err != nil {
		if ctx.Err() == nil {
			return result, err
		}
		text := "cluster " + to.Cluster + " has not joined yet: " + missing
		if told != "" {
			text += "; the agent says: " + told
		}
		return result, errors.New(text)
	}
	result.Joined = true
	return result, nil
}

func (j *Joining) say(format string, args ...any) { fmt.Fprintf(j.Progress, format+"\n", args...) }

// reached lists the steps that are done, and says what is missing for the next
// one, and what to do about it; empty when all are done.
func (j *Joining) reached(ctx context.Context, hub client.Client, to *join.Bootstrap, result *Joined) (steps []string, missing string, err error) {
	now, err := j.identity(ctx)
	if err != nil {
		return nil, "", err
	}
	certified := now != nil && now.Bootstrap == to.Hash
	if j.Agent.Image != "" {
		trouble, err := j.running(ctx)
		if err != nil || trouble != "" {
			return steps, trouble, err
		}
		steps = append(steps, "the agent runs")
	}
	if !certified {
		missing, err := j.atTheHub(ctx, hub, to, &steps)
		if err != nil || missing != "" {
			return steps, missing, err
		}
	}
	if !certified {
		return steps, "the agent has not stored its certificate", nil
	}
	steps = appendNew(steps, stepSeen, stepApproved, "the agent has a certificate, good until "+now.Until.UTC().Format(time.RFC3339))
	result.CertificateUntil = &now.Until
	if j.Agent.Image == "" {
		return steps, "", nil
	}
	ready, err := j.ready(ctx)
	if err != nil || !ready {
		return steps, "the agent is not ready: the hub has not taken its first heartbeat", err
	}
	return append(steps, "the hub takes its heartbeats"), "", nil
}

// Steps at the hub.
const (
	stepSeen     = "the hub knows the ManagedCluster"
	stepApproved = "the hub has approved the request for a certificate"
)

func appendNew(steps []string, more ...string) []string {
	for _, step := range more {
		if !slices.Contains(steps, step) {
			steps = append(steps, step)
		}
	}
	return steps
}

// atTheHub looks at what the hub has of the cluster, with the rights to join.
func (j *Joining) atTheHub(ctx context.Context, hub client.Client, to *join.Bootstrap, steps *[]string) (missing string, err error) {
	cluster := &clusterv1.ManagedCluster{}
	err = hub.Get(ctx, client.ObjectKey{Name: to.Cluster}, cluster)
	switch {
	case apierrors.IsNotFound(err):
		return "the agent has not registered ManagedCluster " + to.Cluster, nil
	case apierrors.IsUnauthorized(err):
		return fmt.Sprintf("the hub does not take the token: make a new one with `kronvoy hub token --cluster %s --rejoin`", to.Cluster), nil
	case err != nil:
		return fmt.Sprintf("the hub cannot be reached from here: %v", err), nil
	}
	*steps = append(*steps, stepSeen)
	secret, err := j.hubSecret(ctx)
	if err != nil || secret == nil {
		return "the agent has not asked for a certificate", err
	}
	name, err := join.PendingRequest(secret, to.Cluster)
	if err != nil || name == "" {
		return "the agent has not asked for a certificate", err
	}
	request := &certificatesv1.CertificateSigningRequest{}
	if err := hub.Get(ctx, client.ObjectKey{Name: name}, request); err != nil {
		return fmt.Sprintf("CertificateSigningRequest %s cannot be read: %v", name, err), nil
	}
	for _, c := range request.Status.Conditions {
		switch c.Type {
		case certificatesv1.CertificateApproved:
			*steps = append(*steps, stepApproved)
			return "", nil
		case certificatesv1.CertificateDenied, certificatesv1.CertificateFailed:
			return fmt.Sprintf("CertificateSigningRequest %s is %s: %s", name, c.Type, c.Message), nil
		}
	}
	return fmt.Sprintf("the hub has not approved CertificateSigningRequest %s: its administrator does so with `kronvoy accept %s`", name, to.Cluster), nil
}

// running says why no agent runs; empty when one does.
func (j *Joining) running(ctx context.Context) (trouble string, err error) {
	pods := &corev1.PodList{}
	if err := j.Cluster.List(ctx, pods, client.InNamespace(install.AgentNamespace), client.MatchingLabels{"app.kubernetes.io/name": install.AgentDeployment}); err != nil {
		return "", fmt.Errorf("looking for the agent's pod: %w", err)
	}
	trouble = "no pod of the agent is there"
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp != nil {
			continue
		}
		trouble = fmt.Sprintf("pod %s is %s", pod.Name, pod.Status.Phase)
		for _, container := range pod.Status.ContainerStatuses {
			switch {
			case container.State.Running != nil:
				return "", nil
			case container.State.Waiting != nil && container.State.Waiting.Reason != "":
				trouble += fmt.Sprintf(", %s: %s", container.State.Waiting.Reason, container.State.Waiting.Message)
			}
		}
	}
	return trouble + "; see `kubectl -n " + install.AgentNamespace + " describe pods`", nil
}

// ready is whether the agent's Deployment is what it is to be, and ready.
func (j *Joining) ready(ctx context.Context) (bool, error) {
	d := &appsv1.Deployment{}
	if err := j.Cluster.Get(ctx, client.ObjectKey{Namespace: install.AgentNamespace, Name: install.AgentDeployment}, d); err != nil {
		return false, fmt.Errorf("reading the agent's Deployment: %w", err)
	}
	return d.Status.ObservedGeneration == d.Generation && d.Status.UpdatedReplicas == 1 && d.Status.ReadyReplicas == 1, nil
}

// agentSays is the latest that the agent complains of; empty for nothing.
func (j *Joining) agentSays(ctx context.Context) (string, error) {
	events := &eventsv1.EventList{}
	if err := j.Cluster.List(ctx, events, client.InNamespace(install.AgentNamespace)); err != nil {
		return "", fmt.Errorf("reading the agent's events: %w", err)
	}
	own := slices.DeleteFunc(events.Items, func(e eventsv1.Event) bool {
		return e.Regarding.Name != kronvoyv1alpha1.BootstrapSecret || !strings.HasPrefix(e.Name, "kronvoy-agent-")
	})
	if len(own) == 0 {
		return "", nil
	}
	last := slices.MaxFunc(own, func(a, b eventsv1.Event) int { return a.EventTime.Compare(b.EventTime.Time) })
	if last.Type != corev1.EventTypeWarning {
		return "", nil
	}
	return last.Note, nil
}
