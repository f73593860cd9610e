// Package web is what a browser shows: the member site, built and embedded, and the description of the interface that it talks to.
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// OpenAPI describes the public methods of all rooms (OpenAPI 3.1, JSON). It is generated from their declarations, and the site's client from it.
//
//go:embed openapi.json
var OpenAPI []byte

// Site returns the built files of the member site, index.html at its root.
func Site() fs.FS {
	site, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // only for a name that is no path, and this one is
	}
	return site
}
