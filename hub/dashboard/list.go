package dashboard

import (
	"net/http"
	"net/url"
	"strings"
)

// maxListed is how many rows a list has on one page.
const maxListed = 200

// listPage is a page of a list that may be filtered by a text.
type listPage[T any] struct {
	Rows []T
	Text string
	// More is the address of what does not fit.
	More string
	// Unknown says what the viewer may not see.
	Unknown string
}

// paginate cuts a list that has an order.
func paginate[T any](r *http.Request, rows []T, name func(T) string) listPage[T] {
	return paginateBy(r, rows, name, name)
}

// paginateBy is for rows that are sorted by something else, their place.
func paginateBy[T any](r *http.Request, rows []T, name, place func(T) string) listPage[T] {
	q := r.URL.Query()
	page := listPage[T]{Text: q.Get("text")}
	for _, row := range rows {
		if !strings.Contains(strings.ToLower(name(row)), strings.ToLower(page.Text)) || place(row) <= q.Get("after") {
			continue
		}
		if len(page.Rows) == maxListed {
			page.More = "?" + url.Values{"text": {page.Text}, "after": {place(page.Rows[maxListed-1])}}.Encode()
			break
		}
		page.Rows = append(page.Rows, row)
	}
	return page
}
