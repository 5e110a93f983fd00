package spoke

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/kronvoy/kronvoy/internal/trace"
	"github.com/kronvoy/kronvoy/spoke/notice"
)

// Options say which cluster an agent serves, and how.
type Options struct {
	// ClusterName is the ManagedCluster's name, and that of its namespace on
	// the hub.
	ClusterName string
	// Hub and Spoke are how to reach the two API servers.
	Hub   *rest.Config
	Spoke *rest.Config
	// HubHash names the hub in inventories; by default the hash of its URL, as
	// OCM has it.
	HubHash string
	// AgentID names the agent in inventories; by default the cluster's name.
	AgentID string
	// Namespace is the agent's own on the spoke; what is to survive a restart
	// is kept there. Empty means nothing is kept.
	Namespace string
	// MetricsBindAddress is off when empty or "0".
	MetricsBindAddress string
	// Registry takes the metrics; controller-runtime's when nil, which
	// MetricsBindAddress serves.
	Registry ctrlmetrics.RegistererGatherer
	// Tracer follows what the hub traces; nil does not.
	Tracer *trace.Tracer
	// Board shows people how the agent gets on; it only logs by default.
	Board *notice.Board
	// Certificate gives from when until when the agent's certificate is good, for
	// its metrics; Serve sets it.
	Certificate func() (from, until time.Time, known bool)
	// LeaseDuration is how often the heartbeat is written; 60 s by default,
	// negative means never.
	LeaseDuration time.Duration
	// HealthCheckPeriod is how often the cluster's own API server is probed; 60 s
	// by default.
	HealthCheckPeriod time.Duration
	// MaxCustomClaims is how many of the cluster's ClusterClaims the hub is told;
	// 20 by default, negative means none.
	MaxCustomClaims int
	// EvictionGracePeriod is how long the objects of a work that vanished from
	// the hub stay; 60 minutes by default.
	EvictionGracePeriod time.Duration
	// FlushDelay is how long after a change what may lag behind is written: the
	// list in the inventory, the kept state. 2 s by default.
	FlushDelay time.Duration
	// Workers is how many works are applied at the same time; 4 by default.
	Workers int
	Clock   clock.WithTicker
	Logger  logr.Logger
}

func (o *Options) complete() error {
	switch {
	case o.ClusterName == "":
		return errors.New("the agent needs the cluster's name")
	case o.Hub == nil:
		return errors.New("the agent needs the hub's address")
	case o.Spoke == nil:
		return errors.New("the agent needs the cluster's address")
	}
	if o.HubHash == "" {
		sum := sha256.Sum256([]byte(o.Hub.Host))
		o.HubHash = hex.EncodeToString(sum[:])
	}
	if o.AgentID == "" {
		o.AgentID = o.ClusterName
	}
	if o.MetricsBindAddress == "" {
		o.MetricsBindAddress = "0"
	}
	setDefault(&o.LeaseDuration, 60*time.Second)
	setDefault(&o.HealthCheckPeriod, 60*time.Second)
	setDefault(&o.MaxCustomClaims, 20)
	setDefault(&o.EvictionGracePeriod, 60*time.Minute)
	setDefault(&o.FlushDelay, 2*time.Second)
	setDefault(&o.Workers, 4)
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Registry == nil {
		o.Registry = ctrlmetrics.Registry
	}
	if o.Board == nil {
		o.Board = &notice.Board{Log: o.Logger}
	}
	return nil
}

func setDefault[T comparable](value *T, fallback T) {
	var unset T
	if *value == unset {
		*value = fallback
	}
}
