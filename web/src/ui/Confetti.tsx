// A moment of joy: bits of paper that fall once. Nothing for those who want less motion, nothing to
// hear, nothing to press.
const PIECES = 36;

export function Confetti() {
  return (
    <div class="confetti" aria-hidden="true">
      {Array.from({ length: PIECES }, (_, i) => (
        <i
          key={i}
          style={{
            left: `${(i * 61) % 100}%`,
            animationDelay: `${(i * 37) % 900}ms`,
            animationDuration: `${2200 + ((i * 131) % 1600)}ms`,
          }}
        />
      ))}
    </div>
  );
}
