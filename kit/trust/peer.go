package trust

import "context"

type peerKey struct{}

// WithPeer returns a context that says which member of the cluster asks.
func WithPeer(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, peerKey{}, name)
}

// PeerOf returns which member asks, and whether the question came from another process at all.
func PeerOf(ctx context.Context) (name string, remote bool) {
	name, remote = ctx.Value(peerKey{}).(string)
	return name, remote
}
