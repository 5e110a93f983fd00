package live

import (
	"context"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

// What a terminal understands (ECMA-48 and xterm's private modes).
const (
	enter = "\x1b[?1049h\x1b[?25l\x1b[?7l" // another screen, no cursor, no wrapping
	leave = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	home  = "\x1b[H"
	// endOfLine and below clear what was there before.
	endOfLine = "\x1b[K"
	below     = "\x1b[J"
)

// Screen is a terminal that shows one view at a time, and leaves the last one
// behind as plain text.
type Screen struct {
	out  io.Writer
	fd   int
	last string
	open bool
}

// NewScreen is nil where output does not go to a terminal.
func NewScreen(out io.Writer) *Screen {
	file, is := out.(*os.File)
	if !is || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return &Screen{out: out, fd: int(file.Fd())}
}

// Size is how many columns and lines there are.
func (s *Screen) Size() (width, height int) {
	width, height, err := term.GetSize(s.fd)
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

// Draw shows a text in the place of the one before.
func (s *Screen) Draw(text string) error {
	_, height := s.Size()
	s.last = text
	frame := frame(text, height)
	if !s.open {
		frame = enter + frame
		s.open = true
	}
	_, err := io.WriteString(s.out, frame)
	return err
}

// frame is what a text is to a terminal of some lines.
func frame(text string, height int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > height {
		lines = lines[:height]
	}
	return home + strings.Join(lines, endOfLine+"\r\n") + endOfLine + below
}

// Close gives the terminal back.
func (s *Screen) Close() error {
	if !s.open {
		return nil
	}
	s.open = false
	_, err := io.WriteString(s.out, leave+s.last)
	return err
}

// Redraws says when a view is to be drawn although nothing in it has changed:
// now and then, and when the terminal has another size.
func Redraws(ctx context.Context, every time.Duration) (redraws <-chan time.Time, stop func()) {
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	ticker := time.NewTicker(every)
	again := make(chan time.Time)
	go func() {
		for {
			var at time.Time
			select {
			case <-ctx.Done():
				return
			case at = <-ticker.C:
			case <-resized:
			}
			select {
			case <-ctx.Done():
				return
			case again <- at:
			}
		}
	}()
	return again, func() {
		signal.Stop(resized)
		ticker.Stop()
	}
}
