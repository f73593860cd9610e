// Package bijou is the vocabulary of the streaming service: its nouns, the contracts between its rooms, and the few kinds of failure.
//
// It imports the standard library alone and does nothing by itself. A contract whose name ends in Store is kept by an
// embedded engine and a networked one (folder engine); any other contract is offered by a room (folder service).
package bijou
