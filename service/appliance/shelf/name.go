package shelf

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"bijou"
)

const (
	maxName = 1024 // bytes of a file's name
	// maxPart bounds a part of a path on disk, in bytes. File systems take 255; an index adds a few letters to its asset's name.
	maxPart = 240
)

// assetOf returns the asset that a file belongs to: the first part of its name.
func assetOf(name string) bijou.AssetID {
	first, _, _ := strings.Cut(name, "/")
	return bijou.AssetID(first)
}

// checkName refuses, as Invalid, what is no name of a file below an asset. Every name that bijou.CheckKey takes and that has two parts is one.
func checkName(name string) error {
	first, rest, ok := strings.Cut(name, "/")
	if !ok || first == "" || rest == "" || len(name) > maxName || path.Clean("/"+name) != "/"+name || strings.ContainsRune(name, 0) {
		return fmt.Errorf("%q is no name of a file: it must be ASSET/FILE without empty parts, dots for a part, or more than %d bytes: %w",
			name[:min(len(name), 80)], maxName, bijou.Invalid)
	}
	return nil
}

// plain tells whether the byte stands for itself in a file's name on disk; a dot does except at the beginning of a part.
func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
}

// safe returns the name as it can stand in a file system: parts of letters, digits, dots, hyphens and underscores stand for themselves, all other
// bytes, and a dot at the beginning of a part, as % and two hexadecimal digits. A part that becomes too long that way is cut, and has %% and the
// SHA-256 of the whole part at its end. No two names become the same.
func safe(name string) string {
	if isSafe(name) {
		return name
	}
	parts := strings.Split(name, "/")
	for i, part := range parts {
		var b strings.Builder
		for j, c := range []byte(part) {
			if plain(c) && (c != '.' || j > 0) {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
		parts[i] = b.String()
		if len(parts[i]) > maxPart {
			sum := sha256.Sum256([]byte(part))
			parts[i] = parts[i][:100] + "%%" + hex.EncodeToString(sum[:])
		}
	}
	return strings.Join(parts, "/")
}

// isSafe tells whether the name stands for itself.
func isSafe(name string) bool {
	begin := 0
	for i, c := range []byte(name) {
		switch {
		case c == '/':
			begin = i + 1
		case !plain(c) || c == '.' && i == begin || i-begin >= maxPart:
			return false
		}
	}
	return true
}

// path returns a path below the shelf's directory.
func (s *Shelf) path(parts ...string) string {
	return filepath.Join(append([]string{s.o.Dir}, parts...)...)
}

// Path returns where the file lies when it is kept, for people and programs that look at the directory.
func (s *Shelf) Path(name string) string { return s.o.Dir + "/files/" + safe(name) }

// indexPath returns where the asset's index lies.
func (s *Shelf) indexPath(id bijou.AssetID) string { return s.path("index", safe(string(id))+indexEnd) }

// indexEnd ends the name of an index.
const indexEnd = ".jsonl"

// isNote tells whether the name is that of an asset's own description, which goes last.
func isNote(name string) bool { return strings.HasSuffix(name, "/"+bijou.AssetFile) }
