package probe

import "github.com/kronvoy/kronvoy/test/fleet"

// OpenIn opens a cluster of a fleet, by its name.
func OpenIn(f *fleet.Fleet, name string) (*Cluster, error) {
	return Open(name, f.Cluster(name).Kubeconfig(), f.Kubectl())
}

// OpenAll opens the hub of a fleet, and its other clusters by name.
func OpenAll(f *fleet.Fleet) (hub *Cluster, spokes map[string]*Cluster, err error) {
	if hub, err = OpenIn(f, fleet.HubName); err != nil {
		return nil, nil, err
	}
	spokes = map[string]*Cluster{}
	for _, c := range f.Spokes() {
		if spokes[c.Name], err = OpenIn(f, c.Name); err != nil {
			return nil, nil, err
		}
	}
	return hub, spokes, nil
}
