package rollout

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

// Good is the name of the revision that rollouts go back to: the one that
// succeeded last, of those of the release of Kronvoy that made the newest one;
// empty for none. What another release rendered nobody can go back to.
func Good(revisions []appsv1.ControllerRevision, newest *appsv1.ControllerRevision) string {
	var best *appsv1.ControllerRevision
	for i := range revisions {
		r := &revisions[i]
		at := noted(r, kronvoyv1alpha1.AnnotationSucceededAt)
		if at.IsZero() || revision.Release(r) != revision.Release(newest) {
			continue
		}
		if best == nil || at.After(noted(best, kronvoyv1alpha1.AnnotationSucceededAt)) ||
			at.Equal(noted(best, kronvoyv1alpha1.AnnotationSucceededAt)) && r.Revision > best.Revision {
			best = r
		}
	}
	if best == nil {
		return ""
	}
	return best.Name
}

// lost says why there is nothing good to go back to although there was; empty where
// there is, or never was.
func lost(revisions []appsv1.ControllerRevision, newest *appsv1.ControllerRevision) string {
	if Good(revisions, newest) != "" {
		return ""
	}
	for i := range revisions {
		r := &revisions[i]
		if revision.Release(r) != revision.Release(newest) && !noted(r, kronvoyv1alpha1.AnnotationSucceededAt).IsZero() {
			return "what was good before another release of Kronvoy rendered, and this one does not"
		}
	}
	return ""
}

// restates says whether a revision is the one of a name, or holds what that holds,
// which another release of Kronvoy made.
func restates(revisions []appsv1.ControllerRevision, r *appsv1.ControllerRevision, name string) bool {
	// Releases that come and go restate each other's.
	for range len(revisions) + 1 {
		if r == nil || r.Name == name {
			return r != nil
		}
		before := r.Annotations[kronvoyv1alpha1.AnnotationRestates]
		if before == name {
			return true
		}
		r = find(revisions, before)
	}
	return false
}

// find a revision by its name; nil for none.
func find(revisions []appsv1.ControllerRevision, name string) *appsv1.ControllerRevision {
	i := slices.IndexFunc(revisions, func(r appsv1.ControllerRevision) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return &revisions[i]
}

// history is what is remembered of an instance, on its revisions. That an older
// revision was rejected is no matter of the newest.
func history(revisions []appsv1.ControllerRevision, newest *appsv1.ControllerRevision) rollout.History {
	h := rollout.History{Good: Good(revisions, newest)}
	if at := noted(newest, kronvoyv1alpha1.AnnotationRejectedAt); !at.IsZero() {
		h.Rejected, h.RejectedAt = newest.Name, at
	}
	return h
}

// remember notes a history on the revisions, and gives those that it changed, as
// they were and as they are to be.
func remember(revisions []appsv1.ControllerRevision, newest *appsv1.ControllerRevision, h rollout.History, now time.Time) []noting {
	known := history(revisions, newest)
	var out []noting
	for i := range revisions {
		r := &revisions[i]
		set := map[string]string{}
		if r.Name == h.Good && known.Good != h.Good {
			set[kronvoyv1alpha1.AnnotationSucceededAt] = note(latest(revisions, now))
		}
		if r.Name == newest.Name && (known.Rejected != h.Rejected || !known.RejectedAt.Equal(h.RejectedAt)) {
			set[kronvoyv1alpha1.AnnotationRejectedAt] = ""
			if h.Rejected == newest.Name {
				set[kronvoyv1alpha1.AnnotationRejectedAt] = note(h.RejectedAt)
			}
		}
		if len(set) == 0 {
			continue
		}
		to := r.DeepCopy()
		for key, value := range set {
			if value == "" {
				delete(to.Annotations, key)
				continue
			}
			metav1.SetMetaDataAnnotation(&to.ObjectMeta, key, value)
		}
		out = append(out, noting{from: r, to: to})
	}
	return out
}

// latest is now, or later if a revision succeeded after that, by a clock that was
// wrong: the last to succeed is the good one.
func latest(revisions []appsv1.ControllerRevision, now time.Time) time.Time {
	for i := range revisions {
		if at := noted(&revisions[i], kronvoyv1alpha1.AnnotationSucceededAt); !now.After(at) {
			now = at.Add(time.Microsecond)
		}
	}
	return now
}

// noting is a revision on which something is noted.
type noting struct{ from, to *appsv1.ControllerRevision }

func note(at time.Time) string { return at.UTC().Format(metav1.RFC3339Micro) }

// noted is a time that note wrote; zero where there is none that can be read.
func noted(r *appsv1.ControllerRevision, annotation string) time.Time {
	at, err := time.Parse(metav1.RFC3339Micro, r.Annotations[annotation])
	if err != nil {
		return time.Time{}
	}
	return at
}
