package dashboard

import "net/http"

// routes are the views.
func (s *Server) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", s.page(s.showFleet))
	mux.HandleFunc("GET /clusters/{name}", s.page(s.showCluster))
}
