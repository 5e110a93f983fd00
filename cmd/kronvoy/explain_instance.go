package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/preview"
)

func explainInstanceCommand() *cobra.Command {
	var opts previewOptions
	cmd := &cobra.Command{
		Use:   "instance KIND/NAME",
		Short: "Say where an instance runs and why, and what it waits for there",
		Long: `Say where an instance runs and why: who decides it, the reason of each cluster by
the functions that the hub runs, which revision each has, what leaves or is held,
and what each resource waits for. Nothing is written.

Without --cluster it speaks of the clusters that the instance is placed on, or still
on; with it of that one, also to say why the instance is not there. With --offline
nothing is read from the hub, and the files stand for it, as applied and ready.`,
		Example: `  kronvoy explain instance webapp/shop -n shop
  kronvoy explain instance webapp/shop -n shop --cluster eu-west -o wide
  kronvoy explain instance webapp/shop -n shop --offline -f examples/webapp -f examples/webapp/clusters`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.explain(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args[0])
		},
	}
	opts.bind(cmd)
	completeFirst(cmd, instanceNames)
	return cmd
}

func (o *previewOptions) explain(ctx context.Context, stdin io.Reader, out, errOut io.Writer, reference string) error {
	opts, documents, _, err := o.read(stdin, errOut)
	if err != nil {
		return err
	}
	explained, err := preview.Explain(ctx, opts, documents, reference)
	if err != nil {
		return err
	}
	if o.output == "table" || o.output == "wide" {
		return explained.Write(out, o.output == "wide")
	}
	return output.Encode(out, o.output, explained)
}
