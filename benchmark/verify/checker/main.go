// Command checker decides whether the history of a probe workload is linearizable.
//
// usage: checker HISTORY SECONDS
//
// It prints one JSON object: the verdict, and for a violation the shortest window that shows it. Each key is a register
// of its own with read, write and compare-and-swap. An operation with unknown outcome may take effect at any time after
// its start, or never.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"
	"strconv"
	"syscall"
	"time"

	"github.com/anishathalye/porcupine"
)

const (
	format     = 1
	mostLine   = 1 << 20
	mostMemory = 4 << 30
	never      = math.MaxInt64
)

// Values of a register are numbered.
const (
	anything = -1 // the state before a window that does not begin with the history
	absent   = 0
)

// entry is one line of the history; times are monotonic, in ns.
type entry struct {
	Client   int     `json:"client"`
	Op       string  `json:"op"`
	Key      string  `json:"key"`
	Value    *string `json:"value,omitempty"`
	Expected *string `json:"expected,omitempty"`
	Found    *string `json:"found,omitempty"`
	Swapped  *bool   `json:"swapped,omitempty"`
	Outcome  string  `json:"outcome"`
	Error    string  `json:"error,omitempty"`
	Start    int64   `json:"start"`
	End      int64   `json:"end"`
}

type line struct {
	entry
	Format   int      `json:"format"`
	Started  int64    `json:"started"`
	Complete bool     `json:"complete"`
	Unread   []string `json:"unread"`
}

type window struct {
	Key        string  `json:"key"`
	StartS     float64 `json:"start_s"` // since the begin of the history
	EndS       float64 `json:"end_s"`
	Before     string  `json:"before"` // the value before the window: absent, or any
	Operations []entry `json:"operations"`
}

type result struct {
	Verdict    string  `json:"verdict"`
	Reason     string  `json:"reason"`
	Operations int     `json:"operations"`
	Timeouts   int     `json:"timeouts"`
	Violation  *window `json:"violation"`
}

// action is an entry as the model needs it.
type action struct {
	op                     string
	value, expected, found int
	swapped, unknown       bool
	entry                  entry
}

type history struct {
	started    int64
	keys       map[string][]porcupine.Operation
	unread     []string
	complete   bool
	operations int
	succeeded  int
	timeouts   int
}

func step(state, input, _ interface{}) (bool, interface{}) {
	current, a := state.(int), input.(*action)
	switch a.op {
	case "read":
		return current == anything || current == a.found, a.found
	case "write":
		return true, a.value
	}
	holds := current == anything || current == a.expected
	switch {
	case a.unknown:
		if holds && current != anything {
			return true, a.value
		}
		return true, current // where it may or may not apply, later operations decide nothing
	case a.swapped:
		return holds, a.value
	default:
		return current != a.expected, current
	}
}

func model(initial int) porcupine.Model {
	return porcupine.Model{
		Init: func() interface{} { return initial },
		Step: step,
		Hash: func(state interface{}) uint64 { return uint64(state.(int)) },
	}
}

// read returns the history in a file; an error names the line.
func read(path string) (*history, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	found := &history{keys: map[string][]porcupine.Operation{}}
	numbers, written := map[string]int{}, map[int]bool{}
	number := func(text *string) int {
		if text == nil {
			return absent
		}
		if _, known := numbers[*text]; !known {
			numbers[*text] = len(numbers) + 1
		}
		return numbers[*text]
	}
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 0, 1<<16), mostLine)
	at := 0
	var damaged error
	for lines.Scan() {
		if at++; damaged != nil {
			return nil, damaged
		}
		var one line
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			damaged = fmt.Errorf("line %d is damaged: %v", at, err) // the last line may have been cut off
			continue
		}
		switch {
		case at == 1 && one.Format != format:
			return nil, fmt.Errorf("line 1: found format %d, expected %d", one.Format, format)
		case at == 1:
			found.started = one.Started
			continue
		case found.complete:
			return nil, fmt.Errorf("line %d follows the end", at)
		case one.Complete:
			found.complete, found.unread = true, one.Unread
			continue
		}
		e := one.entry
		if err := check(e); err != nil {
			return nil, fmt.Errorf("line %d: %v", at, err)
		}
		found.operations++
		if e.Value != nil {
			written[number(e.Value)] = true
		}
		switch e.Outcome {
		case "failed": // it was never sent
			continue
		case "unknown":
			found.timeouts++
			if e.Op == "read" {
				continue
			}
		default:
			found.succeeded++
		}
		a := &action{op: e.Op, value: number(e.Value), expected: number(e.Expected), found: number(e.Found), entry: e}
		a.unknown, a.swapped = e.Outcome == "unknown", e.Swapped != nil && *e.Swapped
		end := e.End
		if a.unknown {
			end = never
		}
		found.keys[e.Key] = append(found.keys[e.Key], porcupine.Operation{Input: a, Call: e.Start, Return: end})
	}
	for key, operations := range found.keys {
		if !found.complete {
			found.keys[key] = complement(operations, written, numbers)
		}
		pin(found.keys[key])
	}
	return found, lines.Err()
}

// complement returns the operations of an incomplete history with what may be missing at its end: writes in flight,
// whose values others saw. Comparisons that failed are left out, as a write that nobody saw may be the reason.
func complement(operations []porcupine.Operation, written map[int]bool, numbers map[string]int) []porcupine.Operation {
	var kept []porcupine.Operation
	missing := map[int]bool{}
	first := int64(never)
	for _, each := range operations {
		a := each.Input.(*action)
		first = min(first, each.Call)
		if a.op != "cas" || a.swapped || a.unknown {
			kept = append(kept, each)
		}
		for _, value := range []int{a.found, a.expected} {
			missing[value] = value != absent && !written[value]
		}
	}
	for text, value := range numbers {
		if !missing[value] {
			continue
		}
		lost := &action{op: "write", value: value, unknown: true}
		lost.entry = entry{Op: "write", Value: &text, Outcome: "unknown", Error: "not in the history", Start: first, End: first}
		kept = append(kept, porcupine.Operation{Input: lost, Call: first, Return: never})
	}
	return kept
}

// pin ends operations with unknown outcome whose value was seen: as values are unique, they took effect before that.
func pin(operations []porcupine.Operation) {
	seen := map[int]int64{} // when the first operation that saw a value returned
	for changed := true; changed; {
		changed = false
		for _, each := range operations {
			value := absent
			if a := each.Input.(*action); a.op == "read" {
				value = a.found
			} else if a.op == "cas" && a.swapped {
				value = a.expected
			}
			if at, known := seen[value]; value != absent && (!known || each.Return < at) {
				seen[value] = each.Return
			}
		}
		for i, each := range operations {
			a := each.Input.(*action)
			if at, known := seen[a.value]; a.unknown && known && at >= each.Call {
				a.unknown, a.swapped, operations[i].Return, changed = false, true, at, true
			}
		}
	}
}

func check(e entry) error {
	switch {
	case e.Outcome != "ok" && e.Outcome != "failed" && e.Outcome != "unknown":
		return fmt.Errorf("found outcome %q, expected ok, failed or unknown", e.Outcome)
	case e.Op != "read" && e.Op != "write" && e.Op != "cas":
		return fmt.Errorf("found operation %q, expected read, write or cas", e.Op)
	case e.Op != "read" && e.Value == nil, e.Op == "cas" && e.Expected == nil:
		return fmt.Errorf("a %s without its value", e.Op)
	case e.Op == "cas" && e.Outcome == "ok" && e.Swapped == nil:
		return fmt.Errorf("a compare-and-swap without its outcome")
	case e.Start > e.End:
		return fmt.Errorf("it ends before it starts")
	}
	return nil
}

// relax leaves out what makes the search long and can hardly show a violation: failed comparisons, and operations with
// unknown outcome whose value nobody saw, which could explain these.
func relax(operations []porcupine.Operation) []porcupine.Operation {
	var found []porcupine.Operation
	for _, each := range operations {
		if a := each.Input.(*action); a.op != "cas" || a.swapped || a.unknown {
			found = append(found, each)
		}
	}
	return withoutUnseen(found)
}

// decide checks one key.
func decide(operations []porcupine.Operation, until time.Time) porcupine.CheckResult {
	if illegal(absent, relax(operations), until) {
		return porcupine.Illegal
	}
	left := time.Until(until)
	if left <= 0 {
		return porcupine.Unknown
	}
	return porcupine.CheckOperationsTimeout(model(absent), operations, left)
}

func illegal(initial int, operations []porcupine.Operation, until time.Time) bool {
	left := time.Until(until)
	return left > 0 && porcupine.CheckOperationsTimeout(model(initial), operations, left) == porcupine.Illegal
}

// prefix returns what was known at a time: operations that had not ended may take effect later.
func prefix(operations []porcupine.Operation, until int64) []porcupine.Operation {
	var found []porcupine.Operation
	for _, each := range operations {
		if a := each.Input.(*action); each.Return > until {
			if each.Call > until || a.op == "read" {
				continue
			}
			open := *a
			open.unknown = true
			each.Input, each.Return = &open, never
		}
		if each.Call <= until {
			found = append(found, each)
		}
	}
	return found
}

// shortest returns the shortest window of one key's operations that cannot be explained.
func shortest(operations []porcupine.Operation, until time.Time) ([]porcupine.Operation, string) {
	usual := func(operations []porcupine.Operation) []porcupine.Operation { return operations }
	if illegal(absent, relax(operations), until) {
		usual = relax
	}
	sort.SliceStable(operations, func(i, j int) bool { return operations[i].Call < operations[j].Call })
	var ends []int64
	for _, each := range operations {
		if each.Return != never {
			ends = append(ends, each.Return)
		}
	}
	sort.Slice(ends, func(i, j int) bool { return ends[i] < ends[j] })
	// A longer prefix of a violation is a violation, and the whole history is one.
	last := sort.Search(len(ends)-1, func(i int) bool { return illegal(absent, usual(prefix(operations, ends[i])), until) })
	kept, before := usual(prefix(operations, ends[last])), "absent"
	// A window may begin only where no operation with known outcome was in flight: then nothing before it can take
	// effect in it.
	cuts, latest := []int64{}, int64(math.MinInt64)
	for _, each := range kept {
		if each.Return != never {
			if each.Call > latest {
				cuts = append(cuts, each.Call)
			}
			latest = max(latest, each.Return)
		}
	}
	from := func(cut int64) (found []porcupine.Operation) {
		for _, each := range kept {
			if each.Return >= cut {
				found = append(found, each)
			}
		}
		return found
	}
	late := sort.Search(len(cuts), func(i int) bool { return !illegal(anything, usual(from(cuts[i])), until) })
	if late > 0 {
		kept, before = usual(from(cuts[late-1])), "any"
	}
	initial := map[string]int{"absent": absent, "any": anything}[before]
	if fewer := withoutUnseen(kept); illegal(initial, fewer, until) {
		kept = fewer
	}
	return kept, before
}

// withoutUnseen leaves out open operations whose value nobody saw.
func withoutUnseen(operations []porcupine.Operation) (found []porcupine.Operation) {
	seen := map[int]bool{}
	for _, each := range operations {
		a := each.Input.(*action)
		seen[a.found], seen[a.expected] = true, true
	}
	for _, each := range operations {
		if a := each.Input.(*action); !a.unknown || seen[a.value] {
			found = append(found, each)
		}
	}
	return found
}

func describe(key string, operations []porcupine.Operation, before string, started int64) (*window, string) {
	found := &window{Key: key, Before: before}
	var last entry
	first, end := int64(never), int64(math.MinInt64)
	for _, each := range operations {
		a := each.Input.(*action)
		found.Operations = append(found.Operations, a.entry)
		if !a.unknown {
			first = min(first, a.entry.Start)
			if each.Return > end || each.Return == end && a.op != "write" {
				last, end = a.entry, each.Return
			}
		}
	}
	found.StartS, found.EndS = float64(first-started)/1e9, float64(end-started)/1e9
	what := "the " + last.Op + " of " + text(last.Value) + " took effect"
	switch {
	case last.Op == "read":
		what = "a read returned " + text(last.Found)
	case last.Op == "cas" && (last.Swapped == nil || *last.Swapped):
		what = "a compare-and-swap found " + text(last.Expected)
	case last.Op == "cas":
		what = "a compare-and-swap did not find " + text(last.Expected)
	}
	return found, fmt.Sprintf("key %s, %.3f s to %.3f s: no order of %d operations explains that %s",
		key, found.StartS, found.EndS, len(found.Operations), what)
}

func text(value *string) string {
	if value == nil {
		return "no value"
	}
	return strconv.Quote(*value)
}

// judge checks the keys at the same time: one that takes too long must not hide a violation of another.
func judge(found *history, limit time.Duration) result {
	judged := result{Verdict: "ok", Operations: found.operations, Timeouts: found.timeouts}
	type outcome struct {
		key     string
		verdict porcupine.CheckResult
	}
	until := time.Now().Add(limit)
	outcomes := make(chan outcome, len(found.keys))
	for key, operations := range found.keys {
		go func() {
			outcomes <- outcome{key, decide(operations, until)}
		}()
	}
	unknown := 0
	for range found.keys {
		switch one := <-outcomes; one.verdict {
		case porcupine.Illegal:
			kept, before := shortest(found.keys[one.key], time.Now().Add(limit/5))
			judged.Verdict = "violation"
			judged.Violation, judged.Reason = describe(one.key, kept, before, found.started)
			return judged
		case porcupine.Unknown:
			unknown++
		}
	}
	switch {
	case unknown > 0:
		judged.Verdict = "unknown"
		judged.Reason = fmt.Sprintf("%d of %d keys could not be checked within %s", unknown, len(found.keys), limit)
	case len(found.unread) > 0:
		judged.Verdict = "unknown"
		judged.Reason = fmt.Sprintf("%d keys could not be read back at the end", len(found.unread))
	case found.succeeded == 0:
		judged.Verdict, judged.Reason = "unknown", "no operation succeeded"
	}
	return judged
}

func main() {
	limitS, err := strconv.ParseFloat(append(os.Args, "", "", "")[2], 64)
	if len(os.Args) != 3 || err != nil {
		fmt.Fprintln(os.Stderr, "usage: checker HISTORY SECONDS")
		os.Exit(2)
	}
	// Beyond that, the check ends with an error instead of the operator's machine.
	_ = syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: mostMemory, Max: mostMemory})
	found, err := read(os.Args[1])
	judged := result{Verdict: "unknown"}
	switch {
	case err != nil:
		judged.Reason = "the history cannot be read: " + err.Error()
	default:
		judged = judge(found, time.Duration(limitS*float64(time.Second)))
		if !found.complete && judged.Verdict != "violation" {
			judged.Verdict, judged.Reason = "unknown", "the history is incomplete: the probe workload was killed"
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(judged); err != nil {
		os.Exit(1)
	}
}
