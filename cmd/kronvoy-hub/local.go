package main

import (
	"context"

	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub"
	"github.com/kronvoy/kronvoy/internal/trace"
	"github.com/kronvoy/kronvoy/spoke"
)

// The agent of the hub's own cluster acts as the agents of other clusters do,
// under names that config/local lets the hub impersonate: its rights end where
// theirs end, and the audit log tells the two apart.
const (
	localAgentNamespace = "kronvoy-agent"
	localAgentOnSpoke   = "system:serviceaccount:" + localAgentNamespace + ":kronvoy-agent"
)

// addLocalAgent runs the agent of the hub's own cluster beside the hub. It keeps
// nothing for a time without a hub: both are one API server.
func addLocalAgent(h *hub.Hub, config *rest.Config, tracer *trace.Tracer) error {
	agent, err := spoke.New(spoke.Options{
		ClusterName: kronvoyv1alpha1.LocalCluster,
		Hub: as(config, rest.ImpersonationConfig{
			UserName: kronvoyv1alpha1.AgentUser(kronvoyv1alpha1.LocalCluster, "agent"),
			Groups:   []string{kronvoyv1alpha1.AgentGroup(kronvoyv1alpha1.LocalCluster)},
		}),
		Spoke:  as(config, rest.ImpersonationConfig{UserName: localAgentOnSpoke}),
		Tracer: tracer,
		Logger: ctrl.Log.WithName("local-cluster"),
	})
	if err != nil {
		return err
	}
	return h.Add(manager.RunnableFunc(func(ctx context.Context) error { return agent.Run(ctx) }))
}

// as is a connection in somebody else's name.
func as(config *rest.Config, who rest.ImpersonationConfig) *rest.Config {
	other := rest.CopyConfig(config)
	other.Impersonate = who
	return other
}
