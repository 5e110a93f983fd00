package hub

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

func TestAHubIsNotReadyWithoutItsAPIServer(t *testing.T) {
	hang := make(chan struct{})
	tests := map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"it answers":      {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }, ""},
		"it cannot":       {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, "does not answer"},
		"it says nothing": {func(http.ResponseWriter, *http.Request) { <-hang }, "does not answer"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(test.answer)
			defer server.Close()
			defer func() {
				if name == "it says nothing" {
					close(hang)
				}
			}()
			api, err := discovery.NewDiscoveryClientForConfig(&rest.Config{Host: server.URL})
			if err != nil {
				t.Fatal(err)
			}
			check := bounded(func(ctx context.Context) error { return answers(ctx, api.RESTClient()) })
			began := time.Now()
			err = check(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
			if got := time.Since(began); got > 5*checkTimeout {
				t.Errorf("the check took %s", got)
			}
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
