package dashboard

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// accessTTL is how long an answer of the API server about a right counts: a
// right that was taken away is gone after that.
const accessTTL = 30 * time.Second

// maxAccess bounds the answers that are kept for one session, and askAtOnce the
// questions: who looks at much that is not his leaves room for others.
const maxAccess, askAtOnce = 16 << 10, 16

// hubError is one of what the hub asks in its own name: its words are not for
// viewers.
type hubError struct{ error }

func (e hubError) Unwrap() error { return e.error }

// Viewer is who looks, as the API server knows him, and his token.
type Viewer struct {
	Name   string
	uid    string
	groups []string
	extra  map[string]authorizationv1.ExtraValue
	token  string
}

// Right is what somebody may do or not. Without a namespace it is one on all
// namespaces, and without a name one on all objects.
type Right struct{ Verb, Group, Resource, Subresource, Namespace, Name string }

// String is the right as people grant it.
func (r Right) String() string {
	resource := r.Resource
	if r.Group != "" {
		resource += "." + r.Group
	}
	if r.Subresource != "" {
		resource += "/" + r.Subresource
	}
	text := r.Verb + " " + resource
	if r.Name != "" {
		text += " " + r.Name
	}
	if r.Namespace != "" {
		text += " in namespace " + r.Namespace
	}
	return text
}

// authority asks the API server who somebody is and what he may.
type authority struct {
	client client.Client
}

// identify says whose token it is; nil when it is nobody's.
func (a authority) identify(ctx context.Context, token string) (*Viewer, error) {
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
	if err := a.client.Create(ctx, review); err != nil {
		return nil, hubError{fmt.Errorf("asking the hub's API server whose token it is: %w", err)}
	}
	user := review.Status.User
	if !review.Status.Authenticated || user.Username == "" {
		return nil, nil
	}
	v := &Viewer{Name: user.Username, uid: user.UID, groups: slices.Sorted(slices.Values(user.Groups)), token: token, extra: map[string]authorizationv1.ExtraValue{}}
	for key, values := range user.Extra {
		v.extra[key] = authorizationv1.ExtraValue(values)
	}
	return v, nil
}

func (a authority) allows(ctx context.Context, v *Viewer, r Right) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: v.Name, UID: v.uid, Groups: v.groups, Extra: v.extra,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: r.Verb, Group: r.Group, Resource: r.Resource, Subresource: r.Subresource, Namespace: r.Namespace, Name: r.Name,
		},
	}}
	if err := a.client.Create(ctx, review); err != nil {
		return false, hubError{fmt.Errorf("asking the hub's API server who may %s: %w", r, err)}
	}
	return review.Status.Allowed && !review.Status.Denied, nil
}

// access is what a viewer may do, kept for a while.
type access struct {
	authority authority
	clock     clock.Clock
	viewer    *Viewer
	asking    chan struct{} // askAtOnce

	mu    sync.Mutex
	known map[Right]verdict
}

func newAccess(a authority, c clock.Clock, v *Viewer) access {
	return access{authority: a, clock: c, viewer: v, asking: make(chan struct{}, askAtOnce)}
}

type verdict struct {
	allowed bool
	until   time.Time
}

// May says whether the viewer has a right, or one that includes it: that on all
// objects of the namespace, or of all namespaces.
func (a *access) May(ctx context.Context, r Right) (bool, error) {
	for _, wider := range []Right{{r.Verb, r.Group, r.Resource, r.Subresource, "", ""}, {r.Verb, r.Group, r.Resource, r.Subresource, r.Namespace, ""}, r} {
		allowed, err := a.ask(ctx, wider)
		if allowed || err != nil {
			return allowed, err
		}
	}
	return false, nil
}

// missing is the first of some rights that the viewer lacks; nil for none.
func (a *access) missing(ctx context.Context, rights ...Right) (*Right, error) {
	for _, right := range rights {
		if allowed, err := a.May(ctx, right); err != nil || !allowed {
			return &right, err
		}
	}
	return nil, nil
}

func (a *access) ask(ctx context.Context, r Right) (bool, error) {
	now := a.clock.Now()
	a.mu.Lock()
	found, ok := a.known[r]
	a.mu.Unlock()
	if ok && now.Before(found.until) {
		return found.allowed, nil
	}
	select {
	case a.asking <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	allowed, err := a.authority.allows(ctx, a.viewer, r)
	<-a.asking
	if err != nil {
		return false, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil || len(a.known) >= maxAccess {
		a.known = map[Right]verdict{}
	}
	a.known[r] = verdict{allowed, now.Add(accessTTL)}
	return allowed, nil
}

// as makes a client that has the viewer's token and nothing of the hub's.
func (o Options) as(v *Viewer) (client.Client, error) {
	config := rest.AnonymousClientConfig(o.Config)
	config.BearerToken = v.token
	config.UserAgent = "kronvoy-dashboard"
	c, err := client.New(config, client.Options{Scheme: o.Client.Scheme(), Mapper: o.Client.RESTMapper()})
	if err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", strings.ToValidUTF8(v.Name, "?"), err)
	}
	return c, nil
}
