// Runs the program through the Automation API, inline: no language host takes part.
package main

import (
	"os"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optup"
)

// TestUp updates the stack STACK of the project PROJECT in the working directory.
func TestUp(t *testing.T) {
	stack, err := auto.SelectStackInlineSource(
		t.Context(), os.Getenv("STACK"), os.Getenv("PROJECT"), program, auto.WorkDir("."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stack.Up(t.Context(), optup.ProgressStreams(os.Stdout)); err != nil {
		t.Fatal(err)
	}
}
