import type { ComponentChildren } from 'preact';

interface ScrollProps {
  readonly label: string;
  readonly class: string;
  readonly children: ComponentChildren;
}

/** What may be wider or longer than its place. */
export function Scroll({ label, class: className, children }: ScrollProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by the keyboard.
    <section class={className} tabIndex={0} aria-label={label}>
      {children}
    </section>
  );
}
