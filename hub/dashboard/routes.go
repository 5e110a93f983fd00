package dashboard

import (
	"net/http"
	"strings"
)

// listedView is an entry of the navigation.
type listedView struct{ Address, Name string }

// At says whether a page belongs to the view.
func (v listedView) At(path string) bool {
	if v.Address == "/" {
		return path == "/" || strings.HasPrefix(path, "/clusters/")
	}
	return path == v.Address || strings.HasPrefix(path, v.Address+"/")
}

var views = []listedView{
	{"/", "Fleet"}, {"/instances", "Instances"}, {"/rollouts", "Rollouts"}, {"/drift", "Drift"},
	{"/definitions", "Definitions"}, {"/placements", "Placements"}, {"/approvals", "Approvals"},
}

// registrar takes routes: a mux, or a test that goes through all of them.
type registrar interface {
	HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request))
}

// routes are the views.
func (s *Server) routes(mux registrar) {
	mux.HandleFunc("GET /{$}", s.page(s.showFleet))
	mux.HandleFunc("GET /clusters/{name}", s.page(s.showCluster))
	mux.HandleFunc("GET /instances", s.page(s.listInstances))
	mux.HandleFunc("GET /instances/{group}/{version}/{kind}/{namespace}/{name}", s.page(s.showInstance))
	mux.HandleFunc("GET /definitions", s.page(s.listDefinitions))
	mux.HandleFunc("GET /definitions/{name}", s.page(s.showDefinition))
	mux.HandleFunc("GET /drift", s.page(s.showDrift))
	mux.HandleFunc("POST /drift", s.act(s.decideDrift))
	mux.HandleFunc("GET /placements", s.page(s.listPlacements))
	mux.HandleFunc("GET /placements/{namespace}/{name}", s.page(s.showPlacement))
	mux.HandleFunc("GET /rollouts", s.page(s.listRollouts))
	mux.HandleFunc("GET /rollouts/{namespace}/{name}", s.page(s.showRollout))
	mux.HandleFunc("POST /rollouts/{namespace}/{name}", s.act(s.steerRollout))
	mux.HandleFunc("GET /approvals", s.page(s.showApprovals))
	mux.HandleFunc("POST /approvals", s.act(s.decideApproval))
}
