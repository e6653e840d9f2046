// The page's element: NiceGUI mounts it, gives it messages through `take`, hears its events.
import { Terminal } from "spymaster-terminal";

export default {
  template: '<div class="sm-root"></div>',
  props: { settings: Object },
  mounted() {
    this.terminal = new Terminal(this.$el, this.settings, (what, told) => this.$emit(what, told));
    window.spymaster = this.terminal;
  },
  beforeUnmount() {
    this.terminal.close();
  },
  methods: {
    take(what, told) {
      this.terminal.take(what, told);
    },
  },
};
