package report

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/apply"
	"github.com/kronvoy/kronvoy/spoke/feedback"
	"github.com/kronvoy/kronvoy/spoke/live"
)

func found(objects ...*live.Selected) live.Listing {
	return live.Listing{Complete: true, Objects: objects}
}

func selected(name, data string) *live.Selected {
	return &live.Selected{
		ObjectMeta: metav1.ObjectMeta{Namespace: "app", Name: name},
		Fields:     []feedback.Field{{Path: "data", JSON: []byte(data)}},
	}
}

func many(n int) []*live.Selected {
	objects := make([]*live.Selected, n)
	for i := range objects {
		objects[i] = selected(fmt.Sprintf("o-%d", i), `"x"`)
	}
	return objects
}

func chosen(node string, listing live.Listing) apply.Selected {
	return apply.Selected{Selection: &apply.Selection{Node: node, Hash: "h-" + node}, Listing: listing}
}

// selections is what the hub is told of lists, after what it was told before.
func selections(before []kronvoyv1alpha1.SelectionReport, lists ...apply.Selected) *kronvoyv1alpha1.WorkReportStatus {
	run := changes(1)
	run.Selections = lists
	return reportStatus(NewObserver(feedback.NewEvaluator()).Observe(run), &kronvoyv1alpha1.WorkReportStatus{ObservedHash: "h", ObservedGeneration: 1, Selections: before})
}

func TestAListIsReportedAsAWholeOrNotAtAll(t *testing.T) {
	large := `"` + strings.Repeat("x", 60<<10) + `"`
	wide := selected("wide", `"x"`)
	for i := range maxFields {
		wide.Fields = append(wide.Fields, feedback.Field{Path: fmt.Sprint("f", i), JSON: []byte("1")})
	}
	for name, tc := range map[string]struct {
		listing live.Listing
		items   int
		message string
	}{
		"nothing matches":           {listing: found()},
		"as many as there may be":   {listing: found(many(maxItems)...), items: maxItems},
		"one too many":              {listing: found(many(maxItems + 1)...), message: "matches 1001 objects"},
		"more than a report holds":  {listing: found(selected("a", large), selected("b", large), selected("c", large), selected("d", large), selected("e", large), selected("f", large), selected("g", large)), message: "more than the 400 KiB"},
		"a field is too large":      {listing: found(&live.Selected{ObjectMeta: metav1.ObjectMeta{Namespace: "app", Name: "a"}, Problem: "data: too large"}), message: "app/a: data: too large"},
		"too many fields":           {listing: found(wide), message: "201 fields"},
		"the agent may not list it": {listing: live.Listing{Problem: "forbidden"}, message: "forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			got := selections(nil, chosen("a", tc.listing)).Selections
			if len(got) != 1 || got[0].Node != "a" || got[0].Hash != "h-a" {
				t.Fatalf("the report has %v", got)
			}
			if got[0].Listed != (tc.message == "") || len(got[0].Items) != tc.items || !strings.Contains(got[0].Message, tc.message) {
				t.Errorf("listed is %t, %d items, message %q", got[0].Listed, len(got[0].Items), got[0].Message)
			}
		})
	}
}

func TestListsShareTheRoomOfAReportAndOneThatIsTooLargeTakesNone(t *testing.T) {
	large := `"` + strings.Repeat("x", 50<<10) + `"`
	four := []*live.Selected{selected("a", large), selected("b", large), selected("c", large), selected("d", large)}
	got := selections(nil, chosen("a", found(four...)), chosen("b", found(append(four, four...)...)), chosen("c", found(four[0]))).Selections
	var listed []bool
	for _, s := range got {
		listed = append(listed, s.Listed)
	}
	if diff := cmp.Diff([]bool{true, false, true}, listed); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
}

func TestWhatWasListedStaysUntilThereIsANewList(t *testing.T) {
	told := []kronvoyv1alpha1.SelectionReport{
		{Node: "a", Hash: "h-old", Listed: true, Items: []kronvoyv1alpha1.SelectedObject{{Name: "one"}}},
		{Node: "gone", Hash: "h-gone", Listed: true},
		{Node: "z", Hash: "h-z", Listed: true},
	}
	if got := selections(told[:1], chosen("a", live.Listing{})); got != nil {
		t.Errorf("a list that is on its way is news: %v", got)
	}
	got := selections(told, chosen("z", live.Listing{}), chosen("b", found()), chosen("a", live.Listing{})).Selections
	want := []kronvoyv1alpha1.SelectionReport{told[0], {Node: "b", Hash: "h-b", Listed: true}, told[2]}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("selections (-want +got):\n%s", diff)
	}
}

func TestTheSameListIsNoNews(t *testing.T) {
	told := []kronvoyv1alpha1.SelectionReport{{Node: "a", Hash: "h-a", Listed: true, Items: []kronvoyv1alpha1.SelectedObject{{
		Namespace: "app", Name: "one", Values: []kronvoyv1alpha1.SelectedValue{{Path: "data", Value: `{"a":2,"b":1}`}},
	}}}}
	if got := selections(told, chosen("a", found(selected("one", `{"a":2,"b":1}`)))); got != nil {
		t.Errorf("the same list is news: %v", got)
	}
	if got := selections(told, chosen("a", found(selected("one", `{"a":3,"b":1}`)))); got == nil {
		t.Error("another value is no news")
	}
	if got := selections(told, chosen("a", found())); got == nil {
		t.Error("an object that left is no news")
	}
}
