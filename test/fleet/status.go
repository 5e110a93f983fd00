package fleet

import (
	"strings"
	"time"
)

// Status is what a fleet looks like now.
type Status struct {
	Name string `json:"name"`
	Dir  string `json:"dir"`
	// Phase is Starting, Ready, or Incomplete where a process has ended.
	Phase    string `json:"phase"`
	Detached bool   `json:"detached"`
	// Kubectl is the path of the client that belongs to the control planes.
	Kubectl  string          `json:"kubectl"`
	Started  time.Time       `json:"started"`
	Clusters []ClusterStatus `json:"clusters"`
	// Processes are those that belong to no cluster: etcd, and what Run started.
	Processes []ProcessStatus `json:"processes"`
	// RSS is the resident memory of all processes in bytes.
	RSS int64 `json:"rss"`
}

// ClusterStatus is what a cluster looks like now.
type ClusterStatus struct {
	Name       string          `json:"name"`
	Region     string          `json:"region,omitempty"`
	Server     string          `json:"server"`
	Kubeconfig string          `json:"kubeconfig"`
	Nodes      int             `json:"nodes"`
	OSImage    string          `json:"osImage,omitempty"`
	Processes  []ProcessStatus `json:"processes"`
	RSS        int64           `json:"rss"`
}

// ProcessStatus is what a process looks like now.
type ProcessStatus struct {
	Name string `json:"name"`
	// PID is 0 where the process does not run.
	PID        int     `json:"pid"`
	RSS        int64   `json:"rss"`
	CPUSeconds float64 `json:"cpuSeconds"`
	Log        string  `json:"log"`
}

// Status looks at all processes.
func (f *Fleet) Status() Status {
	f.mu.Lock()
	phase := f.state.Phase
	f.mu.Unlock()
	s := Status{
		Name: f.state.Name, Dir: f.dir, Phase: string(phase), Detached: f.state.Detached,
		Kubectl: f.state.Kubectl, Started: f.state.Started,
		Clusters: []ClusterStatus{}, Processes: []ProcessStatus{},
	}
	at := map[string]int{}
	for i, c := range f.Clusters() {
		at[c.Name] = i
		s.Clusters = append(s.Clusters, ClusterStatus{
			Name: c.Name, Region: c.Region, Server: c.Server(), Kubeconfig: c.Kubeconfig(),
			Nodes: c.state.Nodes, OSImage: c.state.OSImage, Processes: []ProcessStatus{},
		})
	}
	for _, p := range f.Processes() {
		usage, _ := p.Usage()
		status := ProcessStatus{Name: p.Name(), PID: p.PID(), RSS: usage.RSS, CPUSeconds: usage.CPU.Seconds(), Log: p.Log()}
		s.RSS += usage.RSS
		if status.PID == 0 && phase == phaseReady {
			s.Phase = "Incomplete"
		}
		cluster, _, _ := strings.Cut(p.Name(), "/")
		if i, ok := at[cluster]; ok {
			s.Clusters[i].Processes = append(s.Clusters[i].Processes, status)
			s.Clusters[i].RSS += usage.RSS
			continue
		}
		s.Processes = append(s.Processes, status)
	}
	return s
}
