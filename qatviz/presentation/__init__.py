"""What window, report and terminal show, without Qt: number formats, ticks, texts and scenes."""
