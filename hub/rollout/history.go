package rollout

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

// Good is the name of the revision that rollouts go back to: the one that
// succeeded last; empty for none.
func Good(revisions []appsv1.ControllerRevision) string {
	var best *appsv1.ControllerRevision
	for i := range revisions {
		r := &revisions[i]
		at := noted(r, kronvoyv1alpha1.AnnotationSucceededAt)
		if at.IsZero() {
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

// history is what is remembered of an instance, on its revisions. That an older
// revision was rejected is no matter of the newest.
func history(revisions []appsv1.ControllerRevision, newest *appsv1.ControllerRevision) rollout.History {
	h := rollout.History{Good: Good(revisions)}
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
