// Prints when schedules are due by robfig/cron, the library that Knative and Kubernetes use.
//
// Each line of standard input is a schedule, a time zone (empty for none), an instant in milliseconds since 1970 and how many
// times are asked for, with tabs in between. Each line of standard output holds these times in seconds since 1970,
// `never` in the place of the first that does not come, or `refused`.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// As Knative's PingSource reads schedules.
var parser = cron.NewParser(
	cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

func main() {
	// A schedule without a zone follows UTC, whatever this machine does.
	time.Local = time.UTC
	lines := bufio.NewScanner(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != 4 {
			fmt.Fprintf(os.Stderr, "not four fields: %q\n", lines.Text())
			os.Exit(1)
		}
		fmt.Fprintln(out, answer(fields[0], fields[1], number(fields[2]), number(fields[3])))
	}
	if lines.Err() != nil || out.Flush() != nil {
		fmt.Fprintln(os.Stderr, "reading or writing failed:", lines.Err())
		os.Exit(1)
	}
}

func number(text string) int64 {
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return number
}

func answer(schedule, zone string, milliseconds, count int64) string {
	parsed, err := parse(schedule, zone)
	if err != nil {
		return "refused"
	}
	times := []string{}
	last := time.UnixMilli(milliseconds)
	for range count {
		last = parsed.Next(last)
		if last.IsZero() {
			times = append(times, "never")
			break
		}
		times = append(times, strconv.FormatInt(last.Unix(), 10))
	}
	return strings.Join(times, " ")
}

// What Knative's web hook does with a schedule and a zone beside it.
func parse(schedule, zone string) (parsed cron.Schedule, err error) {
	// A zone that nothing follows makes the library panic.
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("panic")
		}
	}()
	if strings.Contains(schedule, "@every") {
		return nil, fmt.Errorf("unsupported")
	}
	if zone != "" {
		schedule = "CRON_TZ=" + zone + " " + schedule
	}
	return parser.Parse(schedule)
}
