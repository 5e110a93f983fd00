package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func TestAHubWhoseVersionsGoBackIsNotBelieved(t *testing.T) {
	tests := map[string]struct {
		versions []string
		restored bool
	}{
		"versions go up":              {[]string{"7", "9", "10"}, false},
		"nothing was written between": {[]string{"7", "7"}, false},
		"a version goes back":         {[]string{"9", "10", "8"}, true},
		"versions that mean nothing":  {[]string{"b", "a"}, false},
		"of an answer without one":    {[]string{"10", "", "8"}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			if err := coordinationv1.AddToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			next := 0
			hub := interceptor.NewClient(fake.NewClientBuilder().WithScheme(scheme).Build(), interceptor.Funcs{
				Patch: func(_ context.Context, _ client.WithWatch, obj client.Object, _ client.Patch, _ ...client.PatchOption) error {
					obj.SetResourceVersion(test.versions[next])
					next++
					return nil
				},
			})
			h := &heartbeat{name: "eu-west", hub: hub, every: time.Minute, clock: clocktesting.NewFakeClock(time.Unix(0, 0))}
			var err error
			for range test.versions {
				if err != nil {
					t.Fatalf("renewal %d: %v", next, err)
				}
				err = h.renew(t.Context())
			}
			if errors.Is(err, errRestored) != test.restored {
				t.Errorf("the error is %v", err)
			}
		})
	}
}
