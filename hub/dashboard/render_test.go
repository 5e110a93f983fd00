package dashboard

import "testing"

func TestASentenceBeginsWithACapitalLetterButANameStaysAsItIs(t *testing.T) {
	for text, want := range map[string]string{
		"go on with group us-east?":        "Go on with group us-east?",
		"paused by ann: incident":          "Paused by ann: incident",
		"ap-south: waits for others":       "ap-south: waits for others",
		"shop: revision 2 does not render": "shop: revision 2 does not render",
		"1 of 3 clusters are ready":        "1 of 3 clusters are ready",
		"done":                             "done",
		"":                                 "",
		"über alles":                       "über alles",
	} {
		if got := sentence(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
