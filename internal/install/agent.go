package install

import (
	"encoding/base64"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/config"
)

// AgentNamespace is where config/spoke installs the agent.
const AgentNamespace = "kronvoy-agent"

// AgentDeployment is its Deployment there.
const AgentDeployment = "kronvoy-agent"

// Agent is what goes to a cluster that is to join a fleet.
type Agent struct {
	// Bootstrap is the data of the Secret to join by; none leaves it out.
	Bootstrap map[string][]byte
	// Image of the agent; empty leaves out the Deployment, for agents that run
	// elsewhere.
	Image string
}

// Objects are what to apply, in order.
func (a Agent) Objects() ([]*unstructured.Unstructured, error) {
	objects, err := config.Build(config.Spoke, a.Image)
	if err != nil {
		return nil, err
	}
	if a.Image == "" {
		objects = slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == "Deployment" })
	}
	if len(a.Bootstrap) > 0 {
		objects = append(objects, a.secret())
	}
	return objects, nil
}

func (a Agent) secret() *unstructured.Unstructured {
	data := map[string]any{}
	for key, value := range a.Bootstrap {
		data[key] = base64.StdEncoding.EncodeToString(value)
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
		"metadata": map[string]any{"name": kronvoyv1alpha1.BootstrapSecret, "namespace": AgentNamespace},
		"data":     data,
	}}
}
