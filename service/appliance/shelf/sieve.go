package shelf

import "container/list"

// sieve is the order in which files are thrown out: SIEVE (Zhang et al., NSDI 2024). New files come to the front; a hand goes from the back
// to the front, spares once each file that was asked for since it passed, and stops at the first that was not. A hit sets one bit and moves
// nothing, so readers need no lock.
type sieve struct {
	order list.List // of *item, newest at the front
	hand  *list.Element
}

func (q *sieve) add(it *item) *list.Element { return q.order.PushFront(it) }

func (q *sieve) remove(e *list.Element) {
	if e == nil {
		return
	}
	if q.hand == e {
		q.hand = e.Prev()
	}
	q.order.Remove(e)
}

// victim returns the file to throw out next, or nil where there is none. A description is spared as long as there is anything else.
func (q *sieve) victim() *item {
	var last *item // a description, or a file that is asked for faster than the hand moves
	for range 2*q.order.Len() + 1 {
		if q.hand == nil {
			if q.hand = q.order.Back(); q.hand == nil {
				return nil
			}
		}
		it := q.hand.Value.(*item) // nothing else is put in
		q.hand = q.hand.Prev()
		switch {
		case isNote(it.Name):
			if last == nil {
				last = it
			}
		case it.asked.Swap(false):
			last = it
		default:
			return it
		}
	}
	return last
}
