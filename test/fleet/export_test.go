package fleet

// Marked are the ids of the processes that carry the mark of the fleet in dir.
func Marked(dir string) []int {
	var pids []int
	for _, id := range withEnvironment(mark(dir)) {
		pids = append(pids, id.PID)
	}
	return pids
}

// Ports are those that the fleet in dir uses, as its state file says.
func Ports(dir string) ([]int, error) {
	s, err := readState(dir)
	ports := []int{s.EtcdPort}
	for _, c := range s.Clusters {
		ports = append(ports, c.Port)
	}
	return ports, err
}
