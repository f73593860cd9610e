package watch

import (
	"io"
	"net/http"
)

// Recorder notes what an answer was, and leaves the ways to the real writer open: flushing, deadlines, and sendfile(2) for files.
type Recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// Record returns a writer that notes what goes through it to w.
func Record(w http.ResponseWriter) *Recorder { return &Recorder{ResponseWriter: w} }

// Begun tells whether the answer's status is on its way, so that it cannot change any more.
func (w *Recorder) Begun() bool { return w.status != 0 }

// Status returns the status that was sent, or 200 where nothing was said, as net/http does.
func (w *Recorder) Status() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}

// Bytes returns the length of the answer's body so far.
func (w *Recorder) Bytes() int64 { return w.bytes }

// WriteHeader implements http.ResponseWriter.
func (w *Recorder) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) { // other 1xx announce the answer to come
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *Recorder) Write(b []byte) (int, error) {
	w.begin()
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom implements io.ReaderFrom, by which net/http comes to sendfile(2).
func (w *Recorder) ReadFrom(r io.Reader) (n int64, err error) {
	w.begin()
	if to, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		n, err = to.ReadFrom(r)
	} else {
		n, err = io.Copy(struct{ io.Writer }{w.ResponseWriter}, r)
	}
	w.bytes += n
	return n, err
}

// Flush implements http.Flusher.
func (w *Recorder) Flush() { _ = w.FlushError() } // the interface has no place for the error; FlushError has

// FlushError sends what was written so far, for http.ResponseController.
func (w *Recorder) FlushError() error {
	w.begin()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController reach the real writer.
func (w *Recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *Recorder) begin() {
	if w.status == 0 {
		w.status = http.StatusOK
	}
}
