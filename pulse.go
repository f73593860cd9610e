package bijou

import (
	"context"
	"time"
)

// TopicPulse is the log topic that pulse keeps its minutes in: sketches of what the players reported, in pulse's own form.
const TopicPulse = "pulse"

// TopicViewings is the log topic that pulse keeps what it remembers of viewings in, so that a start need not read all facts again.
const TopicViewings = "pulse-viewings"

// StartLimit is the time within which the first picture must be shown, the player's own retries included. A start that takes longer has failed.
const StartLimit = 10 * time.Second

// PulseDimension is what figures are told apart by.
type PulseDimension string

// The dimensions.
const (
	ByTitle     PulseDimension = "title"
	ByAppliance PulseDimension = "appliance"
	ByZone      PulseDimension = "zone"
	ByPlayer    PulseDimension = "player"
)

// PulseRange names the minutes from From to before Until, of all viewings or of those with one value of a dimension.
type PulseRange struct {
	From  time.Time      `json:"from"`
	Until time.Time      `json:"until"`
	By    PulseDimension `json:"by,omitempty" enum:"title,appliance,zone,player"`
	Value string         `json:"value,omitempty" maxLength:"100" doc:"The title, appliance, zone or player; without a dimension: empty."`
}

// PulseFigures say how viewers fared within a range. Quantiles are at most 1 % off.
type PulseFigures struct {
	Starts          int64          `json:"starts" doc:"Viewings that were asked for."`
	StartsPerSecond float64        `json:"starts_per_second"`
	Succeeded       int64          `json:"succeeded" doc:"First pictures within 10 s."`
	Failed          int64          `json:"failed" doc:"Starts without a picture within 10 s, the player's own retries included."`
	FailedRatio     float64        `json:"failed_ratio" doc:"Failed of those that succeeded or failed."`
	Failures        []PulseFailure `json:"failures" doc:"Failed starts by reason, most first."`
	Abandoned       int64          `json:"abandoned" doc:"Left within 10 s, before a picture and without an error, or without having pressed play where the browser waited for that: neither success nor failure."`
	Broken          int64          `json:"broken" doc:"Viewings that the player gave up after their first picture."`
	FirstFrame      PulseTimes     `json:"first_frame" doc:"Time to the first picture."`
	PlayedMS        int64          `json:"played_ms" doc:"Time in which pictures moved."`
	Watching        float64        `json:"watching" doc:"Viewers for whom pictures moved, on average over the range."`
	Stalls          int64          `json:"stalls"`
	StalledMS       int64          `json:"stalled_ms"`
	RebufferRatio   float64        `json:"rebuffer_ratio" doc:"Time stalled of the time played and stalled."`
	Rate            PulseRates     `json:"rate" doc:"Rates of the renditions played, by the time that they were."`
}

// PulseFailure counts the failed starts of one reason: a FactCause, or FailureSilence.
type PulseFailure struct {
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
}

// FailureSilence is the reason of a failed start after which nothing more was heard of the player. It is taken back when the player is heard after all.
const FailureSilence = "silence"

// PulseTimes are quantiles of times, in milliseconds; zero where there are none.
type PulseTimes struct {
	Count int64   `json:"count"`
	P50MS float64 `json:"p50_ms"`
	P95MS float64 `json:"p95_ms"`
	P99MS float64 `json:"p99_ms"`
}

// PulseRates are quantiles of rates, in bits a second; zero where there are none.
type PulseRates struct {
	MeanBPS float64 `json:"mean_bps"`
	P10BPS  float64 `json:"p10_bps"`
	P50BPS  float64 `json:"p50_bps"`
	P90BPS  float64 `json:"p90_bps"`
}

// PulseBand is what the same time of earlier days leads one to expect. Where Known is false there are too few days to say.
type PulseBand struct {
	Known bool    `json:"known"`
	Days  int     `json:"days" doc:"Earlier days that it rests on."`
	Low   float64 `json:"low"`
	Mid   float64 `json:"mid"`
	High  float64 `json:"high"`
}

// PulseLive is how things are now.
type PulseLive struct {
	At       time.Time    `json:"at"`
	Starts1  float64      `json:"starts_1s" doc:"Starts per second over the last whole second."`
	Starts10 float64      `json:"starts_10s" doc:"Over the last 10 s."`
	Starts60 float64      `json:"starts_60s" doc:"Over the last minute."`
	Failed60 float64      `json:"failed_60s" doc:"Failed starts per second over the last minute."`
	Minute   PulseFigures `json:"minute" doc:"The minute of the clock, so far."`
	Last     PulseFigures `json:"last_minute" doc:"The minute of the clock before it."`
	Starts   PulseBand    `json:"expected_starts" doc:"Starts per second to be expected in this minute."`
	Ratio    PulseBand    `json:"expected_failed_ratio"`
}

// Pulse is the one truth about how viewers fare: chaos, canaries, fill and shedding read it, and nothing else.
type Pulse interface {
	// Figures returns the figures of a range within the last 30 days. It fails with Invalid for a range that ends before it begins, and with
	// Unavailable while what is kept is still being read after a start.
	Figures(ctx context.Context, r PulseRange) (PulseFigures, error)
	// Live returns how things are now. It fails as Figures does.
	Live(ctx context.Context) (PulseLive, error)
}
