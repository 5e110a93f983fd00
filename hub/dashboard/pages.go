package dashboard

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// content is what a page shows. Topics are what it has to be rendered anew for;
// Stream is the address of its events, where it has a better one.
type content struct {
	template, title string
	data            any
	topics          []string
	stream          string
}

// forbiddenError names the right that is missing.
type forbiddenError struct{ right Right }

func (e forbiddenError) Error() string { return "you need the right to " + e.right.String() }

// errNotFound is that there is no such page or object.
var errNotFound = errors.New("there is no such object, or it is gone")

// errChanged is that an order is about what is not so any more.
var errChanged = errors.New("there is a newer revision than the page showed: load it again, and see whether you still want it")

// requireRight is an error where the viewer lacks a right. It comes before
// anything is looked for, so that the answer does not tell what exists.
func requireRight(r *http.Request, s *session, right Right) error {
	allowed, err := s.May(r.Context(), right)
	if err == nil && !allowed {
		err = forbiddenError{right}
	}
	// The page's stream ends with the right.
	if needs, kept := r.Context().Value(needsKey{}).(*[]Right); kept && err == nil {
		*needs = append(*needs, right)
	}
	return err
}

// page serves what a function finds for a viewer.
func (s *Server) page(find func(r *http.Request, v *session) (content, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		viewer, err := s.session(r, false)
		if errors.Is(err, errNoSession) {
			http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
			return
		}
		seen := s.live.now()
		var c content
		var needs []Right
		if err == nil {
			c, err = s.find(r, viewer, &needs, find)
		}
		if err != nil {
			s.fail(w, r, viewer, err)
			return
		}
		if c.stream == "" && len(c.topics) > 0 {
			c.stream = viewer.stream(c.topics, needs)
		}
		if c.stream != "" {
			c.stream += "&seen=" + strconv.FormatUint(seen, 10)
		}
		s.write(w, r, http.StatusOK, viewer, c)
	}
}

// errBusy is that a session asks for more pages at a time than it is served.
var errBusy = errors.New("too many pages are loaded at once")

// needsKey is where a request keeps the rights that its page required.
type needsKey struct{}

// find makes a page, with the rights that it required.
func (s *Server) find(r *http.Request, v *session, needs *[]Right, find func(*http.Request, *session) (content, error)) (content, error) {
	select {
	case v.pages <- struct{}{}:
	case <-r.Context().Done():
		return content{}, errBusy
	}
	defer func() { <-v.pages }()
	return find(r.WithContext(context.WithValue(r.Context(), needsKey{}, needs)), v)
}

// act serves an action: with a session, and with that session's own token in the
// form.
func (s *Server) act(do func(w http.ResponseWriter, r *http.Request, v *session)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		viewer, err := s.session(r, false)
		switch {
		case errors.Is(err, errNoSession):
			http.Redirect(w, r, "/login", http.StatusSeeOther)
		case err != nil:
			s.fail(w, r, viewer, err)
		case !viewer.confirms(r.PostFormValue("csrf")):
			s.write(w, r, http.StatusForbidden, viewer, failure("The form is not of this session", "Load the page again, and repeat what you did."))
		default:
			do(w, r, viewer)
		}
	}
}

type failurePage struct{ What, Next string }

func failure(what, next string) content {
	return content{template: "failure", title: what, data: failurePage{what, next}}
}

// fail answers with what the viewer may know of an error.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, v *session, err error) {
	var forbidden forbiddenError
	var hubs hubError
	switch {
	case errors.As(err, &hubs):
		s.log.Error(err, "A page was not served", "url", r.URL.Path)
		s.write(w, r, http.StatusServiceUnavailable, v, failure("This does not work now", "The hub's API server did not answer. Load the page again in a moment."))
	case errors.As(err, &forbidden):
		s.write(w, r, http.StatusForbidden, v, failure("You may not see this", "It takes the right to "+forbidden.right.String()+". The ClusterRole kronvoy-viewer has what the dashboard shows."))
	case errors.Is(err, errNotFound):
		s.write(w, r, http.StatusNotFound, v, failure("There is no such object", "It may be gone by now."))
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err), apierrors.IsConflict(err), apierrors.IsInvalid(err), apierrors.IsNotFound(err):
		// The API server's own words, to the one whose token was used.
		s.write(w, r, http.StatusForbidden, v, failure("The hub's API server refused this", err.Error()))
	default:
		s.log.Error(err, "A page was not served", "url", r.URL.Path)
		s.write(w, r, http.StatusServiceUnavailable, v, failure("This does not work now", "The hub, or its API server, did not answer. Load the page again in a moment."))
	}
}

// refuse answers an action that could not be done: in the words of the API server
// where it said no, else in those that the command line has.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, v *session, err error) {
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		s.fail(w, r, v, err)
		return
	}
	s.write(w, r, http.StatusConflict, v, failure("Nothing was done", err.Error()))
}
