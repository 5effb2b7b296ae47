declare module "virtual:swagger-ui-url" {
  const url: string;
  export default url;
}
