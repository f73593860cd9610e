package bijou

import (
	"context"
	"io"
)

// InboxFile is one file of an inbox.
type InboxFile struct {
	Name    string // its path below the inbox, with slashes; any bytes
	Size    int64
	Version string // another whenever its writer has written it anew
}

// Inbox is a place where others put films for the service to find. Nothing in it is changed.
type Inbox interface {
	// Files returns at most limit files whose names follow after, in order of name. Those of which a part of the name begins with a dot are
	// left out, as is what is no plain file.
	Files(ctx context.Context, after string, limit int) ([]InboxFile, error)
	// Open reads the file as it was when it was listed. It fails with NotFound for one that is gone and with Conflict for one that has another
	// version, and so does the reader where that comes to pass before its end.
	Open(ctx context.Context, f InboxFile) (io.ReadCloser, error)
}
